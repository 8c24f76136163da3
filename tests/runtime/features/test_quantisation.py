"""Round, then saturate, at both ends of int8."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.quantise import Dequantiser, RowQuantiser, dequantise, quantise


def test_both_ends_saturate_and_do_not_wrap():
    # As plain casts these are -128, -56, 127 and 56.
    values = np.array([128.4, 200.0, -129.0, -200.0, np.inf, -np.inf])
    np.testing.assert_array_equal(quantise(values, 1.0, 0), [127, 127, -128, -128, 127, -128])


def test_rounds_and_does_not_truncate():
    np.testing.assert_array_equal(quantise(np.array([0.6, -0.6, 0.4, -0.4]), 1.0, 0), [1, -1, 0, 0])


@given(st.integers(-128, 127), st.floats(1e-4, 10), st.integers(-128, 127))
def test_there_and_back(step, scale, zero_point):
    steps = np.array([step], np.int8)
    assert quantise(dequantise(steps, scale, zero_point), scale, zero_point) == steps


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 10), st.integers(-128, 127))
def test_error_is_half_a_step_where_nothing_saturates(value, scale, zero_point):
    steps = quantise(np.array([value]), scale, zero_point)
    if -128 < steps[0] < 127:
        assert abs(dequantise(steps, scale, zero_point)[0] - value) <= scale * 0.501 + abs(value) * 1e-6


def test_rows_saturate_at_both_ends_and_round_halves_to_even():
    quantiser = RowQuantiser(np.ones(6), np.zeros(6))
    rows = np.array([[128.4, 200.0, -129.0, -200.0, np.inf, -np.inf], [0.5, 1.5, -0.5, -1.5, 0.6, -0.6]], np.float32)
    np.testing.assert_array_equal(quantiser(rows), [[127, 127, -128, -128, 127, -128], [0, 2, 0, -2, 1, -1]])


@given(
    rows=st.integers(0, 40),
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.01, 0.1),
    zero_point=st.integers(-128, 127),
)
def test_folded_normalisation_is_within_rounding_of_the_two_steps(rows, seed, scale, zero_point):
    rng = np.random.default_rng(seed)
    normalisation = Normalisation(tuple(rng.normal(-30, 10, 5)), tuple(rng.uniform(1, 20, 5)))
    frames = rng.normal(-30, 40, (rows, 5)).astype(np.float32)
    quantiser = normalisation.quantiser(scale, zero_point)
    folded = quantiser(frames)
    assert folded.dtype == np.int8
    exact = (frames.astype(np.float64) - normalisation.mean) / normalisation.std / scale + zero_point
    assert (np.abs(folded - exact.clip(-128, 127)) <= 0.501).all()
    # However many rows come at once, and whatever came before.
    np.testing.assert_array_equal(np.concatenate([quantiser(frames[:7]), quantiser(frames[7:])]), folded)


@given(st.floats(1e-4, 10), st.integers(-128, 127))
def test_the_table_gives_the_same_bits(scale, zero_point):
    steps = np.arange(-128, 128).astype(np.int8)
    np.testing.assert_array_equal(Dequantiser(scale, zero_point)(steps), dequantise(steps, scale, zero_point))
