"""The interval and the test for pairs against SciPy's."""

from __future__ import annotations

import pytest
from scipy import stats

from kwspot.runtime.intervals import mcnemar_p, wilson_interval


@pytest.mark.parametrize(("correct", "total"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 3), (733, 758), (3988, 4092)])
def test_wilson_is_scipys(correct: int, total: int) -> None:
    expected = stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(correct, total)
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= low <= correct / total <= high <= 1
    assert low < high


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_share(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(correct, total)


@pytest.mark.parametrize(("lost", "won"), [(1, 0), (6, 0), (3, 3), (2, 9), (9, 2), (40, 61), (1500, 1400)])
def test_mcnemar_is_scipys_binomial_test(lost: int, won: int) -> None:
    assert mcnemar_p(lost, won) == pytest.approx(stats.binomtest(lost, lost + won, 0.5).pvalue, rel=1e-9)


def test_mcnemar_of_no_change_is_one() -> None:
    assert mcnemar_p(0, 0) == 1.0
