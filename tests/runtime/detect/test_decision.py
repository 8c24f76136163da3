"""The decision: what fires, when, and how often."""

from __future__ import annotations

import numpy as np
import pytest

from kwspot.runtime.detect.decision import Decision
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.model.decision_settings import DecisionSettings

LABELS = ("yes", "no", "_unknown_", "_silence_")
HOP = 640  # samples: 40 ms


def run(rows, settings=None):
    """Detections of rows of scores as (label, hop), one row a hop."""
    decision = Decision(settings or DecisionSettings(), LABELS, score_hop_samples=HOP, sample_rate_hz=16_000)
    found = []
    for hop, row in enumerate(rows):
        found += [(d.label, d.at_sample // HOP) for d in decision.push(np.array(row, np.float32), hop * HOP)]
    return found


YES, NO, UNKNOWN, SILENCE = np.eye(4).tolist()
NONE = [0.25] * 4


def test_a_word_fires_when_the_mean_reaches_the_threshold():
    assert run([SILENCE] * 5 + [YES] * 5) == [("yes", 7)]
    assert run([SILENCE] * 5 + [[0.79, 0.21, 0, 0]] * 9) == []
    assert run([SILENCE] * 5 + [[0.81, 0.19, 0, 0]] * 9) == [("yes", 7)]


def test_one_high_score_is_not_enough():
    assert run([SILENCE] * 5 + [YES] + [SILENCE] * 5) == []


def test_a_long_word_fires_once_and_again_only_after_it_fell():
    assert run([YES] * 100) == [("yes", 2)]
    assert run([YES] * 40 + [SILENCE] * 5 + [YES] * 40) == [("yes", 2), ("yes", 47)]


def test_nothing_fires_in_the_refractory_time():
    assert run([YES] * 5 + [NO] * 5 + [SILENCE] * 50) == [("yes", 2)]
    short = DecisionSettings(refractory_ms=0)
    assert run([YES] * 5 + [NO] * 5 + [SILENCE] * 50, short) == [("yes", 2), ("no", 7)]


def test_a_word_that_outlasts_the_refractory_time_of_another_fires_after_it():
    assert run([YES] * 5 + [NO] * 50) == [("yes", 2), ("no", 27)]


def test_the_background_never_fires():
    assert run([UNKNOWN] * 50 + [SILENCE] * 50, DecisionSettings(default_threshold=0)) == []


def test_a_threshold_of_its_own():
    settings = DecisionSettings(thresholds={"no": 0.5})
    assert run([[0, 0.6, 0.4, 0]] * 9, settings) == [("no", 2)]
    assert run([[0.6, 0, 0.4, 0]] * 9, settings) == []


def test_only_the_best_label_fires():
    assert run([[0.4, 0, 0.6, 0]] * 9, DecisionSettings(default_threshold=0.3)) == []


def test_reset_needs_the_whole_span_of_scores_again_and_keeps_the_refractory_time():
    decision = Decision(DecisionSettings(), LABELS, score_hop_samples=HOP, sample_rate_hz=16_000)
    scores = np.array(YES, np.float32)
    assert [bool(decision.push(scores, hop * HOP)) for hop in range(3)] == [False, False, True]
    decision.reset()
    assert not any(decision.push(scores, hop * HOP) for hop in range(3, 27))
    assert decision.push(scores, 27 * HOP)
    decision.rewind()
    assert [bool(decision.push(scores, hop * HOP)) for hop in range(3)] == [False, False, True]


def test_the_smoothed_score_is_what_is_compared_and_there_is_none_after_a_gap():
    decision = Decision(DecisionSettings(), LABELS, score_hop_samples=HOP, sample_rate_hz=16_000)
    assert decision.smoothed is None
    rows = np.random.default_rng(1).random((9, 4)).astype(np.float32)
    for hop, row in enumerate(rows):
        decision.push(row, hop * HOP)
        if hop < 2:
            assert decision.smoothed is None
        else:
            np.testing.assert_allclose(decision.smoothed, rows[hop - 2 : hop + 1].mean(axis=0), rtol=1e-6)
    decision.reset()
    assert decision.smoothed is None
    decision.push(rows[0], 9 * HOP)
    decision.push(rows[1], 10 * HOP)
    assert decision.smoothed is None


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match=r"threshold yes = 1\.5"):
        DecisionSettings(thresholds={"yes": 1.5})
    with pytest.raises(ConfigError, match="refractory_ms"):
        DecisionSettings(refractory_ms=float("nan"))
    with pytest.raises(ConfigError, match="this bundle hears yes, no"):
        DecisionSettings().with_thresholds({"maybe": 0.5}, LABELS)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_score_that_is_no_finite_number_fires_nothing(wrong):
    assert run([[wrong, 0, 0, 0]] * 50) == []
    assert run([[wrong] * 4] * 50) == []
    assert run([SILENCE] * 5 + [[0, wrong, 0, 0]] * 5 + [YES] * 9) == [("yes", 12)]
    assert run([YES] * 9 + [[wrong, 0, 0, 0]] * 30 + [YES] * 9) == [("yes", 2)]
