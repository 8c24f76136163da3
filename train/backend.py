"""Keras on TensorFlow, loaded quietly; that costs seconds, so only import this when a model is needed."""

from __future__ import annotations

import os

from kwspot.runtime.standard_streams import without_native_chatter
from kwspot.train.cores import TRAINING_THREADS

# Read by the import: no notes of builds and devices later on, the backend that export needs, and its threads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(TRAINING_THREADS))

with without_native_chatter():
    import keras
    import tensorflow

__all__ = ["keras", "make_deterministic", "tensorflow"]


def make_deterministic(seed: int) -> None:
    """Same seed, same data, same machine: same weights. Seeds python, numpy and TensorFlow, and fixes its kernels."""
    keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()
