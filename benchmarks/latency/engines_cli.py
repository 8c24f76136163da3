"""``kwspot bench engines``: compare the events of all engines on the same sound."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kwspot.benchmarks.latency.engine_events import EngineOutput
    from kwspot.runtime.model.bundle import Bundle

SCHEMA = "kwspot.engines/1"

EXIT_SAME, EXIT_DIFFERENT = 0, 1


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot bench engines",
        description="Detect words in the same sound with every engine and compare the events one by one. The exit "
        "status is 1 unless LiteRT and onnxruntime give identical events. The differences of "
        "tflite-runtime are printed.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--wav", nargs="+", required=True, metavar="FILE", help="sound files, each a stream of its own")
    parser.add_argument(
        "--tflite-python",
        metavar="PATH",
        help="Python of an environment with kwspot[tflite] (default: tflite-runtime if it runs here)",
    )
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command; 1 if LiteRT and onnxruntime give different events."""
    args = _parse(argv)
    from kwspot.benchmarks.latency.engine_events import compare
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.results import result, write_result

    bundle = load_bundle(args.bundle)
    rate_hz = bundle.manifest.features.sample_rate_hz
    sounds = [_sound_of(path, rate_hz) for path in args.wav]
    outputs = _outputs_of(bundle, args.tflite_python, sounds)
    others = [name for name in outputs if name != "litert"]
    values = result(
        SCHEMA,
        bundle,
        {
            "sounds": [
                {"file": Path(path).name, "s": len(sound) / rate_hz}
                for path, sound in zip(args.wav, sounds, strict=True)
            ],
            "comparisons": {
                f"litert~{name}": compare(outputs["litert"], outputs[name], rate_hz=rate_hz) for name in others
            },
        },
    )
    write_result(values, _text(values), args.json)
    return EXIT_SAME if values["comparisons"]["litert~onnx"]["identical"] else EXIT_DIFFERENT


def _sound_of(path: str, rate_hz: int) -> NDArray[np.int16]:
    import numpy as np

    from kwspot.runtime.audio.sources import wav_blocks

    return np.concatenate([np.empty(0, np.int16), *wav_blocks(path, rate_hz=rate_hz)])


def _outputs_of(
    bundle: Bundle, tflite_python: str | None, sounds: Sequence[NDArray[np.int16]]
) -> dict[str, EngineOutput]:
    """Engine → its output; LiteRT and onnxruntime always, tflite-runtime where it can run."""
    from kwspot.benchmarks.engine_choice import engines_to_measure, note
    from kwspot.benchmarks.latency.engine_events import hear_elsewhere, hear_sounds

    outputs = {name: hear_sounds(bundle, name, sounds) for name in engines_to_measure(bundle, ["litert", "onnx"])}
    if tflite_python is not None:
        outputs["tflite"] = hear_elsewhere(bundle, tflite_python, sounds)
    elif "tflite" in engines_to_measure(bundle, None):
        outputs["tflite"] = hear_sounds(bundle, "tflite", sounds)
    else:
        note("tflite is not compared: name the Python of an environment with kwspot[tflite] with --tflite-python")
    return outputs


def _text(values: dict[str, Any]) -> str:
    seconds = sum(sound["s"] for sound in values["sounds"])
    lines = [f"{values['bundle']['name']} on {seconds:.0f} s of sound in {len(values['sounds'])} files"]
    for name, row in values["comparisons"].items():
        ours, theirs = row["events"]
        verdict = "identical" if row["identical"] else f"{row['same_word_and_time']} of the same word and time"
        lines += [
            f"\n{name}: {ours} and {theirs} events, {verdict}",
            f"  of {row['inferences']:,} inferences {row['same_scores']:,} give the same scores, "
            f"{row['same_label']:,} the same label; largest difference {row['largest_score_difference']:.4f}",
        ]
        for difference in row["differences"]:
            at, score = (
                " and ".join("none" if one is None else f"{one:.4f}" for one in difference[key])
                for key in ("at_s", "score")
            )
            file = values["sounds"][difference["sound"]]["file"]
            lines.append(f"  {file}: {difference['label']} at {at} s, score {score}")
    return "\n".join(lines)
