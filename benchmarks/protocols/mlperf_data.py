"""Files of MLPerf Tiny's keyword spotting: int8 features, a file for each clip, and ``y_labels.csv``.

A line of ``y_labels.csv`` is ``file, number of classes, label``, without a
header; a file holds the input of the model as it is, 49 × 10 values of int8 in
490 bytes for the reference model.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import DataFolderError

LABELS_FILE = "y_labels.csv"
QUALITY_TARGET = 0.90
"""Top-1 that a result of the closed division has to reach."""
_NUMBER = re.compile("[0-9]{1,6}")


@dataclass(frozen=True)
class FeatureFiles:
    """Features, (n, values) of the model's dtype, and the label of each, (n,)."""

    names: list[str]
    features: NDArray[Any]
    truth: NDArray[np.intp]
    classes: int


def read_feature_files(folder: Path, values: int, dtype: np.dtype[Any]) -> FeatureFiles:
    """Read all files that ``y_labels.csv`` lists."""
    path = folder / LABELS_FILE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFolderError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); expected lines "
            "'file, number of classes, label' beside the files of features"
        ) from None
    if not rows:
        raise DataFolderError(f"{path} lists no file; expected lines 'file, number of classes, label'")
    names, labels, counts = [], [], set()
    features = np.empty((len(rows), values), dtype)
    for number, row in enumerate(rows):
        if len(row) != 3 or not all(map(_NUMBER.fullmatch, row[1:])) or int(row[2]) >= int(row[1]):
            raise DataFolderError(
                f"{path}, line {number + 1}: {','.join(row)!r}; expected 'file, number of classes, label' with a label "
                "below the number of classes"
            )
        content = _content(folder / row[0], values * dtype.itemsize)
        features[number] = np.frombuffer(content, dtype)
        names.append(row[0])
        counts.add(int(row[1]))
        labels.append(int(row[2]))
    if len(counts) != 1:
        raise DataFolderError(f"{path} speaks of {sorted(counts)} classes; expected one number on every line")
    return FeatureFiles(names, features, np.array(labels, np.intp), counts.pop())


def _content(path: Path, size: int) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataFolderError(f"{path}, which {LABELS_FILE} lists, cannot be read ({error.strerror})") from None
    if len(content) != size:
        raise DataFolderError(
            f"{path} has {len(content)} bytes, the model takes {size}; expected its features as they are"
        )
    return content
