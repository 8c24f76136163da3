"""A window model as a step model: new frames and states in, scores and new states out, with the same weights.

Every tensor of a window model whose convolutions over time are valid is a
stretch of an endless one: a row of it depends on the frames under it alone,
not on where the window ends. So the rows that one window and the next have in
common need not be computed again. Of each tensor a step computes the new rows;
the older ones that a consumer still sees are a *state*, joined before the new
rows:

    tail = state + new rows,  next state = last rows of the tail

The tail itself is the state's output. That a step ends at the window's end is
what makes its scores those of the window, and what :func:`plan` checks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kwspot.export.step_layers import LAYERS, LayerStep, refuse
from kwspot.runtime.errors import ExportError

FRAMES, SCORES = "features", "scores"

RECOMPUTE_MACS = 10_000
"""A state costs a copy in Python, a join in the model and, on a small core, some 10,000 instructions; rows that
take fewer multiply-accumulates than this are computed again instead."""


@dataclasses.dataclass(frozen=True)
class StepModel:
    """A Keras model of one step.

    Inputs are ``features`` (1, hop_frames, 1, C) and ``state1_in`` and so on,
    (1, rows, bands, channels) each; outputs ``scores`` (1, L) and
    ``state1_out`` and so on: each input with the new rows after it, of which the
    last `rows` are the next input. `macs` are the multiply-accumulates of one
    step.
    """

    model: Any
    states: tuple[tuple[str, str], ...]
    macs: int


@dataclasses.dataclass
class _Tensor:
    """A tensor of the window model. `rows` is its length in time, 0 once time is gone; `new_rows` come with
    every step; `tail_rows` are what its consumers see; `computed_rows` of them are computed in a step."""

    rows: int
    new_rows: int
    tail_rows: int = 0
    computed_rows: int = 0


def step_model(trained: Any, hop_frames: int) -> StepModel:
    """Return the step model of a window model, for so many new frames a step.

    Parameters
    ----------
    trained
        Keras model, functional or sequential, (n, T, C) to (n, L).
    hop_frames
        Must be a multiple of the model's stride in time.

    Raises
    ------
    ExportError
        If a layer pads time, cannot be fed step by step, or does not reach the
        window's end; the message names it.
    """
    functional, steps = _steps(trained)
    tensors = _plan(functional, steps, hop_frames)
    return _build(functional, steps, tensors)


def _steps(trained: Any) -> tuple[Any, list[LayerStep]]:
    import keras

    # A sequential model becomes a functional one, too.
    functional = keras.Model(trained.inputs, trained.outputs)
    operations = [one for one in functional.operations if not isinstance(one, keras.layers.InputLayer)]
    return functional, [_step_of(one) for one in operations]


def _step_of(layer: Any) -> LayerStep:
    handler = LAYERS.get(type(layer).__name__)
    if handler is None:
        raise refuse(layer, "is of a kind that cannot be fed step by step")
    if len(layer._inbound_nodes) != 1:
        raise refuse(layer, "is used more than once")
    return handler(layer)


def _plan(functional: Any, steps: Sequence[LayerStep], hop_frames: int) -> dict[int, _Tensor]:
    """Return how many rows of each tensor are new, seen and computed; by the id of the Keras tensor."""
    (source,) = functional.inputs
    tensors = {id(source): _Tensor(rows=source.shape[1], new_rows=hop_frames)}
    for step in steps:
        inputs = [tensors[id(tensor)] for tensor in step.inputs]
        rows, new_rows = step.out_rows([tensor.rows for tensor in inputs]), inputs[0].new_rows
        if new_rows % step.stride:
            raise ExportError(
                f"a step of {hop_frames} frames brings {new_rows} rows to the layer {step.layer.name}, which takes "
                f"every {step.stride} of them; expected a multiple: choose another --hop-ms"
            )
        tensors[id(step.layer.output)] = _Tensor(rows=rows, new_rows=new_rows // step.stride)
    (result,) = functional.outputs
    if tensors[id(result)].rows:
        raise refuse(steps[-1].layer, "is the last and still has time")
    tensors[id(result)].tail_rows = tensors[id(result)].computed_rows = 1
    for step in reversed(steps):
        out = tensors[id(step.layer.output)]
        again = _again(step, steps, out)
        out.computed_rows = out.tail_rows if again else min(out.new_rows, out.tail_rows)
        for tensor in step.inputs:
            seen = tensors[id(tensor)]
            seen.tail_rows = max(seen.tail_rows, step.rows_seen(out.computed_rows, seen.rows))
    tensors[id(source)].computed_rows = hop_frames
    return tensors


def _again(step: LayerStep, steps: Sequence[LayerStep], out: _Tensor) -> bool:
    """Return whether all rows of a tail are computed in every step, for less than a state costs."""
    if step.moves_only:
        return True
    while not step.macs_per_row and len(step.inputs) == 1:  # a norm or a ReLU goes with the convolution before it
        before = [other for other in steps if other.layer.output is step.inputs[0]]
        if not before:
            break
        (step,) = before
    return 0 < step.macs_per_row * (out.tail_rows - out.new_rows) <= RECOMPUTE_MACS


def _build(functional: Any, steps: Sequence[LayerStep], tensors: dict[int, _Tensor]) -> StepModel:
    import keras

    (source,) = functional.inputs
    # One layout throughout, (1, rows, bands, channels): convolutions over time alone need no reshaping then.
    frames = keras.Input(batch_shape=(1, tensors[id(source)].new_rows, 1, source.shape[2]), name=FRAMES)
    inputs, outputs, macs = [frames], {}, 0
    states: list[tuple[str, str]] = []
    tails: dict[int, Any] = {}

    def keep(tensor: Any, value: Any) -> None:
        """Join the rows of a tensor that were computed to those that are remembered."""
        facts = tensors[id(tensor)]
        remembered = facts.tail_rows - facts.computed_rows
        if facts.rows and remembered > 0:
            number = len(states) + 1
            name, name_out = f"state{number}_in", f"state{number}_out"
            state = keras.Input(batch_shape=(1, remembered, *value.shape[2:]), name=name)
            value = keras.layers.Concatenate(axis=1, name=f"tail{number}")([state, value])
            inputs.append(state)
            outputs[name_out] = value
            states.append((name, name_out))
        tails[id(tensor)] = value

    keep(source, frames)
    for step in steps:
        out = tensors[id(step.layer.output)]
        seen = [
            step.pick(tails[id(tensor)], out.computed_rows if out.rows else 0, tensors[id(tensor)].rows)
            for tensor in step.inputs
        ]
        keep(step.layer.output, step.build(seen))
        macs += step.macs_per_row * max(out.computed_rows, 1)
    outputs = {SCORES: tails[id(functional.outputs[0])], **outputs}
    return StepModel(keras.Model(inputs, outputs), tuple(states), macs)
