"""What a step between two forms of a model loses, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwspot.benchmarks.paired import paired_interval, paired_step
from kwspot.runtime.intervals import mcnemar_p

COUNTS = st.integers(0, 400)


def test_the_interval_covers_what_it_promises() -> None:
    # 1,000 experiments with 300 clips, of which a known share changes.
    rng = np.random.default_rng(4)
    shares = np.array([0.90, 0.05, 0.02, 0.03])
    true = shares[1] - shares[2]
    counts = rng.multinomial(300, shares, size=1000)
    held = [low <= true <= high for low, high in (paired_interval(*map(int, row)) for row in counts)]
    assert 0.93 < np.mean(held) < 0.98


def test_pairing_narrows_the_interval() -> None:
    paired = paired_interval(880, 20, 10, 90)
    # The same shares of right clips, on clips that have nothing to do with one another.
    unrelated = paired_interval(801, 99, 89, 11)
    assert paired[1] - paired[0] < 0.6 * (unrelated[1] - unrelated[0])


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_interval_is_about_the_difference(both: int, first: int, second: int, neither: int) -> None:
    total = both + first + second + neither
    if not total:
        with pytest.raises(ValueError, match="is no share"):
            paired_interval(both, first, second, neither)
        return
    low, high = paired_interval(both, first, second, neither)
    assert -1 <= low <= (first - second) / total <= high <= 1
    assert paired_interval(both, second, first, neither) == pytest.approx((-high, -low))
    assert low < high


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (5, 0), (3, 11), (40, 22), (300, 2)])
def test_mcnemar_is_scipys_exact_binomial(lost: int, won: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar_p(lost, won) == pytest.approx(expected)


def test_a_step_counts_both_ways() -> None:
    before = np.array([True] * 80 + [False] * 20)
    after = before.copy()
    after[:10], after[-2:] = False, True
    step = paired_step(before, after)
    assert (step["right_to_wrong"], step["wrong_to_right"]) == (10, 2)
    assert step["loss_points"] == pytest.approx(8.0)
    low, high = step["ci95_points"]
    assert 0 < low < 8 < high
    assert step["explained_by_chance"] is False
    assert paired_step(before, before)["explained_by_chance"] is True
