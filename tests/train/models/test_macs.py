"""Parameters and multiply-accumulates against numbers worked out by hand."""

from __future__ import annotations

import pytest

from kwspot.train.backend import keras
from kwspot.train.fit.macs import count_cost, layer_macs
from kwspot.train.models.registry import build

layers = keras.layers


def of(shape: tuple[int, ...], *stack: object) -> tuple[int, int]:
    return tuple(count_cost(keras.Sequential([keras.Input(shape), *stack])))


@pytest.mark.parametrize(
    ("shape", "layer", "parameters", "macs"),
    [
        ((10,), layers.Dense(4), 10 * 4 + 4, 40),
        ((7, 10), layers.Dense(4), 44, 7 * 40),
        ((9, 5), layers.Conv1D(6, 3), 3 * 5 * 6 + 6, 7 * 3 * 5 * 6),
        ((9, 8, 2), layers.Conv2D(4, 3, use_bias=False), 9 * 2 * 4, 7 * 6 * 9 * 2 * 4),
        ((9, 8, 2), layers.Conv2D(4, 3, strides=2, padding="same"), 76, 5 * 4 * 9 * 2 * 4),
        ((9, 8, 4), layers.Conv2D(4, 1, groups=2, use_bias=False), 8, 9 * 8 * 2 * 4),
        ((9, 8, 3), layers.DepthwiseConv2D(3, padding="same", use_bias=False), 27, 9 * 8 * 3 * 9),
        ((9, 3), layers.DepthwiseConv1D(3, use_bias=False), 9, 7 * 3 * 3),
        ((9, 8, 3), layers.SeparableConv2D(5, 3, padding="same", use_bias=False), 27 + 15, 72 * (27 + 15)),
        ((6, 5), layers.LSTM(4), 4 * (4 * (5 + 4) + 4), 6 * 4 * 4 * (5 + 4)),
        ((6, 5), layers.GRU(4, reset_after=False), 3 * (4 * (5 + 4) + 4), 6 * 3 * 4 * (5 + 4)),
        ((6, 5), layers.SimpleRNN(4), 4 * (5 + 4) + 4, 6 * 4 * (5 + 4)),
        ((9, 8, 3), layers.BatchNormalization(), 12, 0),
        ((9, 8, 3), layers.MaxPooling2D(2), 0, 0),
    ],
)
def test_one_layer(shape: tuple[int, ...], layer: object, parameters: int, macs: int) -> None:
    assert of(shape, layer) == (parameters, macs)


def test_a_layer_used_twice_counts_twice_and_a_nested_model_is_entered() -> None:
    dense = layers.Dense(5)
    inputs = keras.Input((5,))
    assert count_cost(keras.Model(inputs, dense(dense(inputs)))).macs == 50
    assert of((5,), keras.Sequential([keras.Input((5,)), layers.Dense(3)])) == (18, 15)


def test_mlperf_tiny_ds_cnn() -> None:
    """25 × 5 places: 40·64 + 4·(9 + 64)·64 products each, and 64 × 12 at the end."""
    places = 25 * 5
    parameters, macs = count_cost(build("ds-cnn", 49, 10, 12))
    assert macs == places * (40 * 64 + 4 * (9 + 64) * 64) + 64 * 12
    assert parameters == 40 * 64 + 4 * (9 + 64) * 64 + 9 * 4 * 64 + 64 * 12 + 12


def test_a_layer_without_a_rule_is_refused_not_counted_as_nothing() -> None:
    with pytest.raises(TypeError, match=r"sums \(EinsumDense\) has weights but no rule"):
        of((4, 5), layers.EinsumDense("abc,cd->abd", (4, 6), name="sums"))


def test_no_fixed_length_is_refused() -> None:
    model = build("lstm", None, 5, 2)
    with pytest.raises(ValueError, match="count the model of fixed length"):
        layer_macs(model.get_layer("lstm"))
