"""From stage to stage: where each tenth of a point went, on which words and which clips."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.scores import NOTHING, LabelledClips, Stage, summary
from kwspot.benchmarks.paired import paired_step
from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.model.engines import ENGINES

NOTHING_FIRED = "(nothing)"
"""What is written for a word that did not fire."""

CHANGED_KEPT = 40
"""Clips of a step that are listed one by one, those with the highest score before the step first."""

DET_POINTS = 101

ENGINE_STAGES = tuple(f"int8-{engine}" for engine in ENGINES)
"""All of the model in int8, in the order in which engines are chosen."""


def accuracy_result(
    stages: Sequence[Stage], clips: LabelledClips, labels: Sequence[str], root: Path, part: str
) -> dict[str, Any]:
    """Return all of the schema ``kwspot.accuracy/1`` but its head."""
    head = {"data": root.resolve().name, "part": part, "labels": list(labels)}
    return {**head, **summary(stages, clips.truth, labels), **waterfall(stages, clips, labels, root)}


def label_name(labels: Sequence[str], index: int) -> str:
    """Return a predicted label as it is written."""
    return NOTHING_FIRED if index == NOTHING else labels[index]


def predecessor(stages: Sequence[Stage], index: int) -> Stage | None:
    """Return the stage that a stage is a step from; None for the first.

    Engines are alternatives of one another, so each is compared with the first
    of them, as is the stream; all else with the stage before it.
    """
    if index == 0:
        return None
    first_engine = next((stage for stage in stages[:index] if stage.name in ENGINE_STAGES), None)
    if stages[index].name in (*ENGINE_STAGES, "stream") and first_engine is not None:
        return first_engine
    return stages[index - 1]


def waterfall(stages: Sequence[Stage], clips: LabelledClips, labels: Sequence[str], root: Path) -> dict[str, Any]:
    """Return ``steps``, ``confusion``, ``det``, and the evidence of every stage, of ``kwspot.accuracy/1``.

    ``right`` says in base64 which clips each stage got right, a bit for each,
    so that two results of the same ``clip_set`` can be compared clip by clip.
    """
    names = [clip.path.relative_to(root).as_posix() for clip in clips.clips]
    steps = []
    for index, stage in enumerate(stages):
        before = predecessor(stages, index)
        if before is not None:
            steps.append(_step(before, stage, clips.truth, labels, names))
    return {
        "steps": steps,
        "confusion": {stage.name: _confusion(stage, clips.truth, labels) for stage in stages},
        "det": {
            stage.name: curve
            for stage in stages
            if stage.scores is not None and (curve := _det(stage.scores, clips.truth, labels)) is not None
        },
        "clip_set": hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest(),
        "right": {
            stage.name: base64.b64encode(np.packbits(stage.predicted == clips.truth).tobytes()).decode()
            for stage in stages
        },
    }


def unpack_right(right: str, count: int) -> NDArray[np.bool_]:
    """Return ``right`` of one stage as booleans (count,)."""
    return np.unpackbits(np.frombuffer(base64.b64decode(right), np.uint8), count=count).astype(bool)


def _step(
    before: Stage, after: Stage, truth: NDArray[np.intp], labels: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    was_right, is_right = before.predicted == truth, after.predicted == truth
    other = [int(i) for i in np.flatnonzero(before.predicted != after.predicted)]
    shown = sorted(other, key=lambda i: (was_right[i] == is_right[i], -float(before.score[i])))[:CHANGED_KEPT]
    words = {
        label: [int((was_right & ~is_right & of).sum()), int((is_right & ~was_right & of).sum())]
        for index, label in enumerate(labels)
        if ((was_right != is_right) & (of := truth == index)).any()
    }
    return {
        "from": before.name,
        "to": after.name,
        **paired_step(was_right, is_right),
        "other_label": len(other),
        "words": words,
        "changed": [
            {
                "clip": names[i],
                "label": labels[int(truth[i])],
                "before": [label_name(labels, int(before.predicted[i])), round(float(before.score[i]), 4)],
                "after": [label_name(labels, int(after.predicted[i])), round(float(after.score[i]), 4)],
            }
            for i in shown
        ],
    }


def _confusion(stage: Stage, truth: NDArray[np.intp], labels: Sequence[str]) -> list[list[int]]:
    """Count clips, labels × (labels + 1): label by prediction; the last column counts where nothing fired."""
    counts = np.zeros((len(labels), len(labels) + 1), int)
    np.add.at(counts, (truth, np.where(stage.predicted == NOTHING, len(labels), stage.predicted)), 1)
    return [[int(count) for count in row] for row in counts]


def _det(scores: NDArray[np.float32], truth: NDArray[np.intp], labels: Sequence[str]) -> dict[str, Any] | None:
    """Misses and false accepts at every threshold; None where there are no words, or nothing but words.

    A word is missed if it does not have the highest score or does not reach
    the threshold; a clip of no word is falsely accepted if a word has the
    highest score and reaches it.
    """
    is_word = np.array([label not in BACKGROUND_LABELS for label in labels])
    best, best_score = scores.argmax(axis=1), scores.max(axis=1)
    word, other = is_word[truth], ~is_word[truth]
    if not word.any() or not other.any():
        return None
    thresholds = np.linspace(0, 1, DET_POINTS)
    reached = best_score[:, None] >= thresholds[None, :]  # (n, thresholds)
    hit = reached & (best == truth)[:, None]
    false = reached & is_word[best][:, None]
    return {
        "thresholds": [round(float(t), 4) for t in thresholds],
        "miss": [float(share) for share in 1 - hit[word].mean(axis=0)],
        "false_accept": [float(share) for share in false[other].mean(axis=0)],
    }
