"""Learning curves as event files for TensorBoard, beside ``history.csv``."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from kwspot.runtime.run_folder import History
from kwspot.train.backend import tensorflow

EVENTS_FOLDER = "tensorboard"

_TAGS = {
    "loss": "loss/training",
    "val_loss": "loss/validation",
    "accuracy": "accuracy/training",
    "val_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
    "clips_per_s": "clips_per_s",
}
"""Key of a history's row → tag of its curve, a value an epoch."""

# As `tensorflow.summary.scalar` marks its values; that function itself wants the package tensorboard, which only
# those need who look at the curves.
_SCALAR = tensorflow.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class=1)


class EventFiles:
    """Writes what is new in a history, each time it is called.

    A file that is there is replaced by all of the history: a training that was
    killed may have written an epoch that its checkpoint does not have.
    """

    def __init__(self, run: Path) -> None:
        folder = run / EVENTS_FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = tensorflow.summary.create_file_writer(str(folder))
        self._written = 0

    def __call__(self, history: History) -> None:
        with self._writer.as_default():
            for row in history[self._written :]:
                for key, tag in _TAGS.items():
                    tensorflow.summary.write(tag, np.float32(row[key]), step=int(row["epoch"]), metadata=_SCALAR)
        self._writer.flush()
        self._written = len(history)
