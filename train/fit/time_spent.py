"""Where the time of a training goes, from what each epoch counted by the way."""

from __future__ import annotations

from typing import Any

from kwspot.runtime.run_folder import History
from kwspot.train.data.pipeline import DrawnExamples


def time_spent(history: History, examples: object) -> dict[str, Any]:
    """``[time]`` of ``metrics.json``: seconds, and what pipeline and training would each do alone.

    ``waiting_s`` is what the training waited for its next batch, ``step_s`` the
    training steps, ``validation_s`` validation and the checkpoint's weights.
    ``training_clips_per_s`` are clips by the time in steps alone;
    ``pipeline_clips_per_s`` clips by the processor time that making one costs,
    with a core for each of the pipeline's threads; None where the features
    were computed once, before.
    """
    sums = {key: sum(row[key] for row in history) for key in ("waiting_s", "step_s", "validation_s")}
    clips = sum(row["clips_per_s"] * row["seconds"] for row in history)
    made = examples.clips_per_s if isinstance(examples, DrawnExamples) else None
    return {
        **{key: round(seconds, 2) for key, seconds in sums.items()},
        "training_clips_per_s": round(clips / sums["step_s"], 1) if sums["step_s"] else None,
        "pipeline_clips_per_s": None if made is None else round(made, 1),
    }


def describe_time(time: dict[str, Any]) -> str:
    """Describe what :func:`time_spent` returns in one line."""
    names = {"waiting_s": "waiting for data", "step_s": "training steps", "validation_s": "validation"}
    total = sum(time[key] for key in names) or 1.0
    shares = ", ".join(f"{name} {time[key] / total:.0%}" for key, name in names.items())
    made = time["pipeline_clips_per_s"]
    alone = "features computed once" if made is None else f"the pipeline alone makes {made:.0f} clips/s"
    return f"time: {shares}; {alone}, the steps alone take {time['training_clips_per_s'] or 0:.0f} clips/s"
