"""Round, then saturate, at both ends of int8."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kwspot.runtime.quantisation import dequantise, quantise


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
