"""Score a bundle on sounds that were held out of its training, source by source.

::

    python -m kwspot.train.experiments.held_out_folder --data DIR --preset commands-held-out --to TEST
    python -m kwspot.benchmarks.experiments.held_out BUNDLE --data TEST

Each folder in TEST is a source, itself a data folder: ``TEST/<source>/<word>/*.wav``. A word that is no label of the
bundle is ``_unknown_``. The accuracy of the words to be heard stands beside it, since a model that never detects a word
is right about everything else.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kwspot.benchmarks.accuracy.scores import engine_stage, load_clips
from kwspot.benchmarks.engine_choice import engines_to_measure
from kwspot.benchmarks.experiments.steps import parser_of
from kwspot.benchmarks.tables import Columns, Table
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.results import result, write_result

SCHEMA = "kwspot.held-out/1"
_MOST_CONFUSED = 3


def sources_of(test: Path) -> list[Path]:
    """Return the folders in a test folder: words first, noise from quiet to loud last."""
    found = [path for path in test.iterdir() if path.is_dir()] if test.is_dir() else []
    if not found:
        raise DataFolderError(
            f"{test} holds no folder of a source; expected TEST/<source>/<word>/*.wav: "
            "make it with python -m kwspot.train.experiments.held_out_folder --to TEST"
        )

    def place(path: Path) -> tuple[bool, int, str]:
        level = re.search(r"-\d+(?=dBFS)", path.name)
        return path.name != "words", int(level[0]) if level else -1000, path.name

    return sorted(found, key=place)


def main(argv: Sequence[str]) -> int:
    """Score every source."""
    parser = parser_of("held_out", __doc__, SCHEMA)
    parser.add_argument("bundle", type=load_bundle, metavar="BUNDLE", help="bundle folder, or the name of one")
    parser.add_argument("--data", required=True, type=Path, metavar="TEST", help="what held_out_folder made")
    args = parser.parse_args(argv)
    bundle = args.bundle
    engine = engines_to_measure(bundle, None)[0]
    sources = [_measured(bundle, engine, path) for path in sources_of(args.data)]
    values = result(SCHEMA, bundle, {"data": str(args.data), "engine": engine, "sources": sources})
    title = f"{bundle.name} in int8 ({engine}) on {args.data}"
    write_result(values, f"{title}\n\n{_table(sources).markdown()}", args.json)
    return 0


def _measured(bundle: Bundle, engine: str, source: Path) -> dict[str, Any]:
    labels = bundle.manifest.labels
    clips = load_clips(DataFolder(source), "all", None, bundle.manifest)
    predicted = engine_stage(bundle, engine, "int8", clips.frames).predicted
    right = predicted == clips.truth
    wrong = Counter(labels[index] for index in predicted[~right])
    words = np.array([clip.word for clip in clips.clips])
    return {
        "source": source.name,
        "clips": len(right),
        "correct": int(right.sum()),
        "accuracy": float(right.mean()),
        "ci95": list(wilson_interval(int(right.sum()), len(right))),
        "per_word": {
            str(word): [int(right[words == word].sum()), int((words == word).sum())] for word in np.unique(words)
        },
        # Background taken for the other background fires nothing; a wrong word does.
        "wrong_words": sum(count for label, count in wrong.items() if label not in BACKGROUND_LABELS),
        "heard_instead": dict(wrong.most_common()),
    }


def _table(sources: Sequence[dict[str, Any]]) -> Table:
    columns: Columns = {
        "source": "{source}",
        "clips": "{clips}",
        "right": "{accuracy:.1%}",
        "95 % interval": "{ci95[0]:.1%} – {ci95[1]:.1%}",
        "a wrong word": lambda row: f"{row['wrong_words'] / row['clips']:.1%}",
        "heard instead, most often": lambda row: ", ".join(
            f"{label} {count}" for label, count in list(row["heard_instead"].items())[:_MOST_CONFUSED]
        ),
    }
    return Table.of("Sources", sources, columns)


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
