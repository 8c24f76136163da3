"""Keras on TensorFlow, loaded quietly; that costs seconds, so only import this when a model is needed."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from kwspot.train.cores import TRAINING_THREADS


@contextlib.contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Keep what is written to file descriptor 2 to ourselves, unless something is raised.

    TensorFlow writes its notes on oneDNN from C++, before any log level counts.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


# Read by the import: no notes of builds and devices later on, the backend that export needs, and its threads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(TRAINING_THREADS))

with _held_back_stderr():
    import keras
    import tensorflow

__all__ = ["keras", "make_deterministic", "tensorflow"]


def make_deterministic(seed: int) -> None:
    """Same seed, same data, same machine: same weights. Seeds python, numpy and TensorFlow, and fixes its kernels."""
    keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()
