"""Convolutions or recurrence as sound grows longer: the same words at any place in 1, 2 and 4 seconds.

::

    python -m kwspot.benchmarks.experiments.sound_length --data DIR --work DIR --out docs/sound-length.md

Each model is trained by ``kwspot train`` with its preset's recipe; what is in ``--work`` already is taken as it is, so
that an interrupted run goes on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.experiments.sound_length_data import write_length
from kwspot.benchmarks.experiments.sound_length_text import draw, page
from kwspot.benchmarks.experiments.steps import command_line, keep_settings, parser_of, train
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.cli import guarded
from kwspot.runtime.files import whole_file

MODELS = ("conv2", "tc-cnn", "lstm", "gru")
SECONDS = (1, 2, 4)
_TIMED = 200


def main(argv: Sequence[str]) -> int:
    """Make the page."""
    parser = parser_of("sound_length", __doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder of recordings")
    parser.add_argument("--work", required=True, type=Path, metavar="DIR", help="folders and runs are kept here")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="page to write; a picture beside")
    parser.add_argument("--words", default="bed,cat,happy", metavar="A,B,C", help="default: %(default)s")
    parser.add_argument("--per-word", type=int, default=500, metavar="N", help="training clips (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=15, metavar="N", help="of each training (default: %(default)s)")
    args = parser.parse_args(argv)
    words = args.words.split(",")
    about = {"data": str(args.data.resolve()), "words": words, "per_word": args.per_word, "epochs": args.epochs}
    keep_settings(args.work, about)
    for seconds in SECONDS:
        if not (folder := args.work / f"data-{seconds}s").exists():
            print(f"writing {folder}", file=sys.stderr)
            write_length(DataFolder(args.data), words, seconds, args.per_word, folder)
    rows = [_measured(args.work, model, seconds, args.epochs) for model in MODELS for seconds in SECONDS]
    picture = args.out.parent / "pictures" / f"{args.out.stem}.png"
    draw(rows, picture)
    text = page(rows, about, command_line("sound_length", argv), picture.relative_to(args.out.parent))
    with whole_file(args.out) as path:
        path.write_text(text, encoding="utf-8")
    return 0


def _measured(work: Path, model: str, seconds: int, epochs: int) -> dict[str, Any]:
    """Train one, or go on, or take what is there; and time one inference."""
    name = f"{model}-{seconds}s"
    run, config, timing = (work / f"{name}{suffix}" for suffix in ("", ".toml", ".json"))
    config.write_text(f'base = "{model}"\n\n[data]\nclip_ms = {1000 * seconds}\n\n[training]\nepochs = {epochs}\n')
    metrics = train(run, "--data", str(work / f"data-{seconds}s"), "--config", str(config))
    if not timing.exists():
        timing.write_text(json.dumps({"us": inference_us(run / "model.keras")}, allow_nan=False) + "\n")
    return {"model": model, "seconds": seconds, **metrics, **json.loads(timing.read_text())}


def inference_us(model: Path) -> float:
    """Measure the median time of an inference of a Keras model as float TFLite in LiteRT, one thread, microseconds."""
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    print(f"timing {model}", file=sys.stderr, flush=True)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.saving.load_model(model, compile=False))
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    interpreter.allocate_tensors()
    asked = interpreter.get_input_details()[0]
    interpreter.set_tensor(asked["index"], np.random.default_rng(0).normal(size=asked["shape"]).astype(np.float32))
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
