"""Thresholds chosen by the events of the detector, and the page of its mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import poisson

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.cli import main
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.false_accept_rate import interval_per_hour, rate_sentence, upper_per_hour
from kwspot.runtime.model.bundle import Bundle, load_bundle

RATE_HZ = 16_000
SaveWav = Callable[..., Path]


@pytest.fixture
def mine(stream_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle that may be changed."""
    return Path(shutil.copytree(stream_bundle.path, tmp_path / "mine.kws"))


@pytest.fixture(scope="module")
def talk(tone_folder: Path) -> NDArray[np.int16]:
    """A minute in which only "high" is said, again and again, between noise."""
    rng = np.random.default_rng(1)
    clips = [read_sound(clip.path, RATE_HZ) for clip in DataFolder(tone_folder).clips("validation", ["high"])]
    pause = rng.normal(0, 20, RATE_HZ).astype(np.int16)
    return np.concatenate([part for clip in clips for part in (clip, pause)])


@given(count=st.integers(0, 200), hours=st.floats(0.01, 1_000))
def test_the_bound_is_the_poisson_distributions(count: int, hours: float) -> None:
    """A rate at the bound would give as few as were counted in one case of twenty."""
    assert poisson.cdf(count, upper_per_hour(count, hours) * hours) == pytest.approx(0.05, rel=1e-6)
    low, high = interval_per_hour(count, hours)
    assert low <= count / hours <= high
    assert upper_per_hour(count, hours) < high


def test_few_hours_show_little() -> None:
    assert rate_sentence(0, 1.1, 0.5) == "0 false accepts in 1.1 h only shows < 2.7 per hour; 6.0 h are needed for 0.5"


def test_the_threshold_is_what_the_detector_needs(
    mine: Path, talk: NDArray[np.int16], tone_folder: Path, save_wav: SaveWav, tmp_path: Path
) -> None:
    save_wav(tmp_path / "negatives/deep/talk.wav", talk)
    before = load_bundle(mine)
    out = tmp_path / "thresholds.json"
    arguments = ["--negatives", str(tmp_path / "negatives"), "--positives", f"low={tone_folder / 'low'}"]
    assert main(["calibrate", str(mine), *arguments, "--target-fa-per-hour", "2000", "--json", str(out)]) == 0
    values = json.loads(out.read_text())
    low, high = values["words"]["low"], values["words"]["high"]
    assert values["negatives"]["hours"] == pytest.approx(len(talk) / RATE_HZ / 3600)
    assert (low["missed"], low["positives"]) == (pytest.approx(0, abs=10), len(list((tone_folder / "low").iterdir())))
    assert high["positives"] == 0

    # What the evidence counts is what the runtime hears with the thresholds that are stored.
    after = load_bundle(mine)
    assert after.hash != before.hash
    assert after.manifest.models == before.manifest.models
    assert after.manifest.decision.thresholds == {word: values["words"][word]["threshold"] for word in ("low", "high")}
    heard = [found.label for found in KeywordSpotter(after).push(talk)]
    assert {word: heard.count(word) for word in ("low", "high")} == {
        word: values["words"][word]["false_accepts"] for word in ("low", "high")
    }
    assert heard.count("high") > 10
    assert max(heard.count("low"), heard.count("high")) <= 2000 * values["negatives"]["hours"]


def test_what_keeps_a_threshold_up_is_named(
    mine: Path, tone_folder: Path, save_wav: SaveWav, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sound among the negatives is nearly the word: a faint tone of its band, from 2 s on."""
    rng, time = np.random.default_rng(2), np.arange(RATE_HZ // 2) / RATE_HZ
    nearly, noise = rng.normal(0, 20, (2, 4 * RATE_HZ))
    nearly[2 * RATE_HZ :][: len(time)] += 400 * np.sin(2 * np.pi * 500 * time) * np.hanning(len(time)) ** 0.25
    save_wav(tmp_path / "negatives/nearly.wav", nearly.astype(np.int16))
    save_wav(tmp_path / "negatives/noise.wav", noise.astype(np.int16))
    out = tmp_path / "thresholds.json"
    arguments = ["--negatives", str(tmp_path / "negatives"), "--positives", f"low={tone_folder / 'low'}"]
    assert main(["calibrate", str(mine), *arguments, "--target-fa-per-hour", "100", "--json", str(out)]) == 0
    low = json.loads(out.read_text())["words"]["low"]
    nearest = low["next"][0]
    assert nearest["sound"] == "nearly.wav"
    assert 2.0 < nearest["at_s"] < 3.5
    assert nearest["threshold"] < low["threshold"]
    assert f"a lower threshold would also fire in nearly.wav at {nearest['at_s']:g} s" in capsys.readouterr().out
    # It is as it says: from there on the runtime fires, and a step above it does not.
    sound = read_sound(tmp_path / "negatives/nearly.wav", RATE_HZ)
    heard = [
        KeywordSpotter(load_bundle(mine), thresholds={"low": threshold, "high": 0.99}).push(sound)
        for threshold in (nearest["threshold"], low["threshold"])
    ]
    assert [[event.label for event in events] for events in heard] == [["low"], []]


def test_a_target_that_cannot_be_met_is_told(
    mine: Path, talk: NDArray[np.int16], save_wav: SaveWav, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The negatives hold "high" itself, 24 times in 48 s."""
    save_wav(tmp_path / "negatives/talk.wav", talk)
    before = load_bundle(mine).hash
    assert main(["calibrate", str(mine), "--negatives", str(tmp_path / "negatives"), "--target-fa-per-hour", "60"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kwspot:")]
    assert "high 1800" in line
    assert "highest score in talk.wav at " in line
    assert "The bundle is as it was" in line
    assert load_bundle(mine).hash == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--negatives", "{nothing}"], "holds no"),
        (["--negatives", "{tones}/low", "--target-fa-per-hour", "0"], "expected more than 0"),
        (["--negatives", "{tones}/low", "--target-fa-per-hour", "nan"], "expected more than 0"),
        (["--negatives", "{tones}/low", "--positives", "loud={tones}/low"], "loud"),
    ],
)
def test_mistakes_change_nothing(
    mine: Path,
    tone_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    (tmp_path / "nothing").mkdir()
    before = load_bundle(mine).hash
    named = [word.format(nothing=tmp_path / "nothing", tones=tone_folder) for word in arguments]
    assert main(["calibrate", str(mine), *named]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kwspot:")]
    assert expected in line
    assert load_bundle(mine).hash == before


def test_a_bundle_of_the_kit_stays_as_it_is(tone_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "tutorial", "--negatives", str(tone_folder)]) == 2
    assert "change a copy" in capsys.readouterr().err


def test_the_page_draws_what_the_json_says(
    mine: Path, talk: NDArray[np.int16], tone_folder: Path, save_wav: SaveWav, tmp_path: Path
) -> None:
    save_wav(tmp_path / "negatives/talk.wav", talk)
    page, out = tmp_path / "page.html", tmp_path / "page.json"
    arguments = ["--positives", f"low={tone_folder / 'low'}", "--negatives", str(tmp_path / "negatives")]
    arguments += ["--near-misses", str(tone_folder / "high"), "--snr-db", "10"]
    assert main(["bench", "stream", str(mine), *arguments, "--out", str(page), "--json", str(out)]) == 0
    values = json.loads(out.read_text())
    assert values["schema"] == "kwspot.stream/1"
    content = page.read_text(encoding="utf-8")
    assert "http://" not in content.replace("http://www.w3.org/", "")
    assert "https://" not in content
    browser = Browser()
    try:
        browser.open(page.as_uri())
        assert browser.log() == []
        assert browser.run("return document.querySelectorAll('svg').length") >= 1
        assert browser.run("return document.querySelectorAll('audio').length") >= 1
    finally:
        browser.close()
