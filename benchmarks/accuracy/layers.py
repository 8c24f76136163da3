"""Where in the network int8 loses: each tensor of the int8 model against the float model, on real clips.

Two errors are told apart. The *whole* one compares the same tensor of both
models, with all that happened before it. The layer's *own* one gives the float
layer exactly the numbers the int8 layer was given, so that a layer that is
broken is seen by itself and not by what follows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.tflite_graph import (
    Operator,
    calibrated_range,
    dequantise_tensor,
    pair_operators,
    read_graph,
    separate_operators,
)
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import open_classifier
from kwspot.runtime.model.engines import StreamSession, Tensor
from kwspot.runtime.model.manifest import ModelFile
from kwspot.runtime.model.tflite_engine import TfliteSession

MOVES_ONLY = frozenset(("RESHAPE", "PAD", "STRIDED_SLICE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "SPLIT"))
"""Operators that compute nothing: in int8 they cannot lose anything."""


class TracedModel:
    """A TFLite model as an engine that keeps every tensor of its last run.

    It uses TFLite's plain kernels, since others merge operators and leave out
    what lies between.
    """

    name = "litert"

    def __init__(self, model: bytes, expected: ModelFile) -> None:
        self._interpreter = open_plain(model)
        self.inputs, self.outputs = expected.inputs, expected.outputs
        entries = {tensor["name"]: tensor["index"] for tensor in self._interpreter.get_input_details()}
        leaving = {tensor["name"]: tensor["index"] for tensor in self._interpreter.get_output_details()}
        self._input_indices = [entries[info.name] for info in self.inputs]
        self._output_indices = [leaving[info.name] for info in self.outputs]
        self._states: dict[int, Tensor] = {}

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Run once."""
        for index, tensor in zip(self._input_indices, tensors, strict=True):
            self._interpreter.set_tensor(index, tensor)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._output_indices]

    def session(self) -> StreamSession:
        """Return the model of a stream; its states are remembered as each step was given them."""
        return _TracedSession(
            self, TfliteSession(self._interpreter, self._interpreter.invoke, self._input_indices, self._output_indices)
        )

    def remember_states(self, states: Sequence[Tensor]) -> None:
        """Keep what the next step starts from; after it the engine's own memory holds what it leads to."""
        self._states = dict(zip(self._input_indices[1:], states, strict=True))

    def tensor(self, index: int) -> NDArray[Any]:
        """Return a tensor of the last run, of the shape and dtype that it has in the model."""
        state = self._states.get(index)
        return np.asarray(self._interpreter.get_tensor(index)) if state is None else state

    @property
    def entry(self) -> int:
        """Return index of the features, the first input."""
        return int(self._input_indices[0])


class _TracedSession:
    """A stepper whose states can be asked for after the step."""

    def __init__(self, model: TracedModel, session: TfliteSession) -> None:
        self._model, self._stepper = model, session
        self.frames, self.scores = session.frames, session.scores
        self.states, self.set_states = session.states, session.set_states

    def step(self) -> None:
        self._model.remember_states(self._stepper.states())
        self._stepper.step()


def open_plain(model: bytes) -> Any:
    """Return an interpreter that keeps all tensors, with the plain kernels and one thread."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter


class _Layer:
    """Sums over all clips of one tensor."""

    def __init__(self, name: str, kind: str, low: float, high: float) -> None:
        self.name, self.kind, self.low, self.high = name, kind, low, high
        self.step = (high - low) / 255
        self.signal = self.noise = self.own_signal = self.own_noise = 0.0
        self.least, self.most = math.inf, -math.inf
        self.outside = self.values = 0

    def add(
        self, real: NDArray[np.float32], int8: NDArray[np.float32], apart: NDArray[np.float32] | None = None
    ) -> None:
        """Add one clip, arrays of one shape: the float tensor, the int8 one as real numbers, the layer alone."""
        self.signal += float(np.square(real, dtype=np.float64).sum())
        self.noise += float(np.square(real - int8, dtype=np.float64).sum())
        if apart is not None:
            self.own_signal += float(np.square(apart, dtype=np.float64).sum())
            self.own_noise += float(np.square(apart - int8, dtype=np.float64).sum())
        self.least, self.most = min(self.least, float(real.min())), max(self.most, float(real.max()))
        # Less than a step beyond the last one is rounding; a probability of 1 is such, by TFLite's own choice.
        beyond = (real < self.low - self.step) | (real > self.high + self.step)
        self.outside += int(beyond.sum())
        self.values += real.size

    def result(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "sqnr_db": _decibels(self.signal, self.noise),
            "own_sqnr_db": _decibels(self.own_signal, self.own_noise) if self.own_signal else None,
            "calibrated": [self.low, self.high],
            "seen": [self.least, self.most],
            "outside": self.outside,
            "values": self.values,
        }


def _decibels(signal: float, noise: float) -> float | None:
    """10 log10(signal/noise); None where there is no noise at all, or no signal."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def layer_errors(bundle: Bundle, frames: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Measure signal to quantisation noise, ranges and saturation of the input and of every layer, in their order.

    Parameters
    ----------
    frames : float32, shape (clips, window_frames, coefficients)
        Real clips; what lies outside of the calibrated range is counted on them.

    Returns
    -------
    list of dict
        ``name``, ``kind`` (TFLite's), ``sqnr_db`` (with all that came before)
        and ``own_sqnr_db`` (this layer alone), ``calibrated`` and ``seen``
        (least, greatest), ``outside`` of ``values``: numbers of the float
        model that the int8 tensor cannot stand for. A ratio is None where
        there is no noise.
    """
    models = {form: bundle.model_bytes(form) for form in ("float-tflite", "int8-tflite")}
    graphs = {form: read_graph(model) for form, model in models.items()}
    traced = {form: TracedModel(model, bundle.manifest.models[form]) for form, model in models.items()}
    classifiers = {form: open_classifier(bundle.manifest, engine) for form, engine in traced.items()}
    real_model, int8_model = traced["float-tflite"], traced["int8-tflite"]
    int8_graph = graphs["int8-tflite"]
    apart = _Apart(models["float-tflite"])

    pairs = pair_operators(graphs["float-tflite"], int8_graph)
    computing = [number for number, (operator, _) in enumerate(pairs) if operator.kind not in MOVES_ONLY]
    layers = {-1: _layer("input", "QUANTIZE", int8_graph, int8_model.entry)}
    for number in computing:
        ours, theirs = pairs[number]
        layers[number] = _layer(ours.name, ours.kind, int8_graph, theirs.output)
    for clip in frames:
        for classifier in classifiers.values():
            classifier.score_clip(clip)
        alone = apart.run(pairs, lambda index: _real(int8_graph, int8_model, index))
        layers[-1].add(real_model.tensor(real_model.entry), _real(int8_graph, int8_model, int8_model.entry))
        for number in computing:
            ours, theirs = pairs[number]
            layers[number].add(
                real_model.tensor(ours.output), _real(int8_graph, int8_model, theirs.output), alone[number]
            )
    return [layer.result() for layer in layers.values()]


def _layer(name: str, kind: str, int8_graph: Any, index: int) -> _Layer:
    low, high = calibrated_range(int8_graph, index) or (-math.inf, math.inf)
    return _Layer(name, kind, low, high)


def _real(graph: Any, model: TracedModel, index: int) -> NDArray[np.float32]:
    values = model.tensor(index)
    if values.dtype != np.int8:
        return values.astype(np.float32)
    return dequantise_tensor(values, graph.subgraphs[0].tensors[index].quantization)


class _Apart:
    """Each float layer by itself, given what the int8 layer was given."""

    def __init__(self, float_model: bytes) -> None:
        model, self._entries = separate_operators(float_model)
        self._interpreter = open_plain(model)
        self._inputs = {t["name"]: t["index"] for t in self._interpreter.get_input_details()}
        # In the order of the operators, which may share a name.
        self._outputs = [int(index) for index in read_graph(model).subgraphs[0].outputs]

    def run(self, pairs: list[tuple[Operator, Operator]], int8_value: Any) -> list[NDArray[np.float32]]:
        """Return the output of each operator, in order, each of the shape that it has in the model."""
        for number, (operator, place) in enumerate(self._entries):
            value = int8_value(pairs[operator][1].inputs[place])
            self._interpreter.set_tensor(self._inputs[f"entry{number}"], value)
        self._interpreter.invoke()
        return [np.asarray(self._interpreter.get_tensor(index)) for index in self._outputs]


def worst_layer(layers: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the layer with the least ratio of its own, None where none has one."""
    own = [layer for layer in layers if layer["own_sqnr_db"] is not None]
    return min(own, key=lambda layer: float(layer["own_sqnr_db"]), default=None)
