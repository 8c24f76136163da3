"""kwspot.benchmarks.experiments.hop_sweep: ends of words, misses and delays."""

from __future__ import annotations

import json

import numpy as np

from kwspot.benchmarks.experiments import hop_sweep as hops
from kwspot.runtime import cli


def test_the_end_of_a_word_is_where_it_is_20_db_down():
    sound = np.zeros(16_000, np.int16)
    sound[4000:8000] = 10_000
    sound[8000:12_000] = 900  # 20.9 dB below: over
    assert hops.end_of_word(sound, 16_000) == 8000
    sound[8000:12_000] = 1100  # 19.2 dB below: still there
    assert hops.end_of_word(sound, 16_000) == 12_000
    assert hops.end_of_word(np.zeros(50, np.int16), 16_000) == 50


def test_misses_wrong_ones_and_delays():
    words = [hops.Word("low", 0, 16_000, 8_000), hops.Word("high", 32_000, 48_000, 40_000)]
    found = [("low", 9_600), ("low", 11_200), ("low", 40_000)]
    scored = hops.score(found, words, 16_000)
    assert scored == {
        "words": 2, "missed": 1, "false_or_wrong": 2, "delay_ms": {"median": 100.0, "p95": 100.0}, "heard": [0]
    }  # fmt: skip
    assert hops.score([], words, 16_000)["delay_ms"] == {"median": None, "p95": None}


def test_every_hop_has_its_row(tiny_bundle, tone_folder, tmp_path, capsys):
    target = tmp_path / "hops.json"
    arguments = [str(tiny_bundle.path), "--data", str(tone_folder), "--minutes", "0.7"]
    assert hops.main([*arguments, "--hops-ms", "20", "80", "--json", str(target)]) == 0
    values = json.loads(target.read_text())
    assert [run["hop_ms"] for run in values["runs"]] == [20, 80]
    for run in values["runs"]:
        assert run["words"] > 10
        assert run["missed"] <= 0.2 * run["words"]
        assert -300 < run["delay_ms"]["median"] <= run["delay_ms"]["p95"] < 1000
    assert values["runs"][1]["cpu_s_per_hour"] > 0
    assert [values["runs"][0][key] for key in ("lost", "won")] == [[], []]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_words_lost_and_won_are_those_that_the_first_alone_hears_and_this_alone(tiny_bundle, tone_folder, tmp_path):
    target = tmp_path / "hops.json"
    arguments = [str(tiny_bundle.path), "--data", str(tone_folder), "--minutes", "0.7"]
    missed = {}
    for threshold in ("0.5", "0.999"):
        assert hops.main([*arguments, "--hops-ms", "20", "60", "--threshold", threshold, "--json", str(target)]) == 0
        first, other = json.loads(target.read_text())["runs"]
        assert other["missed"] - first["missed"] == len(other["lost"]) - len(other["won"])
        for label, start_s in (*other["lost"], *other["won"]):
            assert label in ("low", "high")
            assert 0 < start_s < 45
        missed[threshold] = first["missed"]
    assert missed["0.999"] > missed["0.5"]  # or the option would do nothing


def test_no_recordings_is_one_line(tiny_bundle, capsys):
    assert cli.guarded(lambda: hops.main([str(tiny_bundle.path), "--data", "nowhere"])) == 2
    assert capsys.readouterr().err.count("\n") == 1
