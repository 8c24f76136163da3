"""What lies under calibration and the page of a stream: replayed decisions, choices, folders, options."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser
from hypothesis import given, settings
from hypothesis import strategies as st

from kwspot.benchmarks.stream.measures import equal_error
from kwspot.export.calibrate.choose import Choice, choose
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.sound_lists import negatives_in, utterances_of
from kwspot.runtime.cli import main
from kwspot.runtime.detect.decision import Decision
from kwspot.runtime.detect.operating_points import GRID, Point
from kwspot.runtime.detect.replay import Replay, Scored, Scorer
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import BundleError, DataFolderError
from kwspot.runtime.false_accept_rate import evidence_line
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.edit import store
from kwspot.runtime.model.manifest import Manifest
from kwspot.runtime.model.manifest_check import read_as

RATE_HZ = 16_000

EVIDENCE = {
    "target_false_accepts_per_hour": 1.0,
    "words": {},
    "together": {"false_accepts": 0, "upper_per_hour": 3.0},
    "negatives": {"hours": 1.0},
}
"""As ``kwspot calibrate`` leaves it."""


def complaint(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(command) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kwspot:")]
    return line


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), low=st.floats(0.2, 0.99), high=st.floats(0.2, 0.99), rare=st.floats(1, 8))
def test_leaving_quiet_stretches_out_changes_no_event(
    stream_bundle: Bundle, seed: int, low: float, high: float, rare: float
) -> None:
    """The decision on every hop is the judge, of scores that rise and fall, some of them exactly a threshold."""
    manifest, rng = stream_bundle.manifest, np.random.default_rng(seed)
    loud = np.repeat(rng.random((60, len(manifest.labels))) ** rare, rng.integers(1, 12, 60), axis=0)
    scores = loud.astype(np.float32)
    scores[rng.random(len(scores)) < 0.1, 0] = np.float32(low)
    at = np.arange(1, len(scores) + 1) * manifest.inference_hop_samples
    judge = Decision(
        manifest.decision,
        manifest.labels,
        score_hop_samples=manifest.inference_hop_samples,
        sample_rate_hz=manifest.features.sample_rate_hz,
    )
    thresholds = dict(zip(manifest.words, (low, high), strict=True))
    for word, threshold in thresholds.items():
        judge.set_threshold(word, threshold)
    expected = [event for i, row in enumerate(scores) for event in judge.push(row, int(at[i]))]
    replay = Replay(manifest, thresholds)
    # Twice, since every sound is a stream of its own.
    assert [replay.events(Scored(at, scores)) for _ in range(2)] == [expected, expected]


@pytest.mark.parametrize("which", ["tiny_bundle", "stream_bundle"])
def test_scores_are_what_the_runtime_hears(which: str, tone_folder: Path, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(which)
    manifest, scorer = bundle.manifest, Scorer(bundle, "litert")
    thresholds = dict.fromkeys(manifest.words, 0.6)
    replay, heard = Replay(manifest, thresholds), 0
    for number, clip in enumerate(DataFolder(tone_folder).clips("test")[::5]):
        sound = read_sound(clip.path, RATE_HZ)
        events = replay.events(scorer.score(sound, number))
        spotter = KeywordSpotter(bundle, engine="litert", thresholds=thresholds)
        lead = number * 617 % manifest.inference_hop_samples
        listened = spotter.push(np.pad(sound, (lead, 0))) + spotter.finish()
        assert [(event.label, event.score) for event in events] == [(found.label, found.score) for found in listened]
        # Listening counts no sample after the end of the sound.
        assert [min(event.at_sample, len(sound)) + lead for event in events] == [f.at_sample for f in listened]
        heard += len(events)
    assert heard > 5


def test_a_word_is_heard_at_the_very_end_of_a_sound(stream_bundle: Bundle, tone_folder: Path) -> None:
    scorer, replay = Scorer(stream_bundle, "litert"), Replay(stream_bundle.manifest)
    second = np.zeros(RATE_HZ, np.int16)
    cut, padded = [], []
    for number, clip in enumerate(DataFolder(tone_folder).clips("test", ["low", "high"])):
        sound = read_sound(clip.path, RATE_HZ)
        sound = sound[: np.flatnonzero(np.abs(sound.astype(int)) > 200)[-1] + 1]
        cut.append([event.label for event in replay.events(scorer.score(sound, number))])
        behind = np.concatenate([sound, second])
        padded.append([event.label for event in replay.events(scorer.score(behind, number))])
    assert cut == padded
    assert sum(map(len, cut)) > 10


def points(false: dict[float, int], missed: dict[float, int]) -> list[Point]:
    """Counts from the named thresholds on, up to the next name."""

    def at(counts: dict[float, int], threshold: float) -> int:
        return counts[max(name for name in counts if name <= threshold)]

    return [Point(threshold, at(false, threshold), at(missed, threshold)) for threshold in GRID]


@pytest.mark.parametrize(
    ("hours", "target", "expected"),
    [
        # Six hours of nothing show 0.5 per hour: the highest of those that miss fewest.
        (6.0, 0.5, Choice(0.79, "bound")),
        (1.1, 0.5, Choice(0.79, "rate")),
        # At 0.5 two fire: 6.3 in 20 hours is the bound.
        (20.0, 0.32, Choice(0.69, "bound")),
        (20.0, 0.31, Choice(0.79, "bound")),
        # Three hours cannot show 0.7 of two, but two are fewer than 0.7 per hour.
        (3.0, 0.7, Choice(0.69, "rate")),
    ],
)
def test_what_is_chosen(hours: float, target: float, expected: Choice) -> None:
    seen = points({0.2: 9, 0.5: 2, 0.7: 0}, {0.2: 0, 0.7: 1, 0.8: 5})
    assert choose(seen, hours, target, people=1_000) == expected


def test_without_positives_none_is_low_and_none_is_dropped_that_fires_above() -> None:
    quiet = points({0.2: 0}, {0.2: 0})
    assert choose(quiet, 10, 0.5, people=None) == Choice(0.5, "bound")
    # What is quiet only below a threshold that fires is not to be relied on.
    odd = points({0.2: 0, 0.6: 3, 0.7: 0}, {0.2: 0})
    assert choose(odd, 10, 0.4, people=None) == Choice(0.7, "bound")
    assert choose(points({0.2: 9}, {0.2: 0}), 1, 0.5, people=None) is None


def test_synthesised_utterances_hold_no_threshold_above_what_the_negatives_ask_for() -> None:
    easy = points({0.2: 9, 0.5: 0}, {0.2: 0})  # nothing is missed at any threshold
    assert choose(easy, 10, 0.5, people=50) == Choice(GRID[-1], "bound")
    assert choose(easy, 10, 0.5, people=49) == choose(easy, 10, 0.5, people=0) == Choice(0.8, "bound")
    loud = points({0.2: 9, 0.9: 0}, {0.2: 0})
    assert choose(loud, 10, 0.5, people=0) == Choice(0.9, "bound")
    assert choose(points({0.2: 0}, {0.2: 0, 0.6: 1}), 10, 0.5, people=0).threshold < 0.6


def test_equal_error_is_where_the_rates_meet() -> None:
    thresholds = np.array([0.2, 0.5, 0.9])
    rate, threshold = equal_error(thresholds, np.array([0.0, 0.1, 0.5]), np.array([0.9, 0.3, 0.1]))
    assert rate == pytest.approx(0.1 + 0.4 / 3, abs=1e-5)
    assert threshold == pytest.approx(0.5 + 0.4 / 3, abs=1e-5)
    assert equal_error(thresholds, np.zeros(3), np.ones(3)) == (None, None)


@pytest.fixture
def folders(tmp_path: Path, save_wav: Callable[..., Path]) -> Path:
    """Utterances and negatives in all the layouts that people have."""
    silence = np.zeros(800, np.int16)
    for name in (
        "hey_computer/en/a-1.wav",
        "HeyComputer/de/deep/b.flac.wav",
        "other/c.wav",
        "loose.wav",
        "_background_noise_/hum.wav",
    ):
        save_wav(tmp_path / "wake" / name, silence)
    for name in ("yes/ann_nohash_0.wav", "yes/bob_nohash_0.wav", "no/bob_nohash_1.wav", "_background_noise_/hum.wav"):
        save_wav(tmp_path / "data" / name, silence)
    (tmp_path / "data/validation_list.txt").write_text("yes/bob_nohash_0.wav\nno/bob_nohash_1.wav\n")
    return tmp_path


def test_utterances_are_found_in_any_layout(folders: Path) -> None:
    def names(*given: str, words: tuple[str, ...] = ("hey computer",), part: str | None = None) -> list[str]:
        return [utterance.path.name for utterance in utterances_of(given, words, part)]

    wake = folders / "wake"
    assert names(str(wake)) == ["b.flac.wav", "a-1.wav"]
    assert names(str(wake / "hey_computer")) == ["a-1.wav"]
    assert names(f"hey computer={wake / 'other'}") == ["c.wav"]
    # Whose name tells no speaker belongs to no part.
    assert names(str(wake), part="test") == ["b.flac.wav", "a-1.wav"]
    with pytest.raises(DataFolderError, match=r"no folder of a word that the bundle hears \(athena\), but HeyComputer"):
        names(str(wake), words=("athena",))


def test_a_list_chooses_the_part(folders: Path) -> None:
    (utterance,) = utterances_of([str(folders / "data")], ["yes"], None)
    assert (utterance.path.name, utterance.speaker) == ("bob_nohash_0.wav", "bob")
    assert len(utterances_of([str(folders / "data")], ["yes"], "all")) == 2
    with pytest.raises(DataFolderError, match="none in the part test"):
        utterances_of([str(folders / "data")], ["no"], "test")


def test_negatives_are_what_is_no_word(folders: Path) -> None:
    negatives = negatives_in([str(folders / "wake"), str(folders / "data")], ["hey computer", "yes"], None)
    shown = [path.relative_to(folders).as_posix() for path in negatives.paths]
    assert shown == [
        "wake/_background_noise_/hum.wav",
        "wake/loose.wav",
        "wake/other/c.wav",
        "data/no/bob_nohash_1.wav",
    ]
    assert negatives.kind == ["wake (_background_noise_, other)", "data, validation (no)"]
    # A folder that is named twice, or lies in another, is heard once.
    assert len(negatives_in([str(folders / "wake")] * 2 + [str(folders / "wake/other")], ["yes"], None).paths) == 5
    with pytest.raises(DataFolderError, match="no sound without hey computer"):
        negatives_in([str(folders / "wake/hey_computer")] * 1, ["hey computer", "en"], None)


def test_evidence_is_one_line_and_old_bundles_have_none(stream_bundle: Bundle) -> None:
    values = json.loads(stream_bundle.manifest.to_json())
    del values["calibration"]
    assert evidence_line(read_as(Manifest, values).calibration).startswith("not calibrated")
    words = {"low": {"positives": 40, "missed": 3}, "high": {"positives": 0, "missed": 0}}
    evidence = {
        "target_false_accepts_per_hour": 0.5,
        "negatives": {"hours": 6.5},
        "words": words,
        "together": {"false_accepts": 0, "upper_per_hour": 0.461},
    }
    assert evidence_line(evidence) == (
        "calibrated for 0.5 false accepts per hour and word; 0 in 6.50 h together (< 0.46 per hour at 95 %); "
        "3 of 40 words missed (7.5%)"
    )


def test_a_full_disk_or_a_locked_folder_leaves_the_bundle(
    stream_bundle: Bundle,
    tone_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = Path(shutil.copytree(stream_bundle.path, tmp_path / "mine.kws"))
    before = sorted(path.name for path in mine.iterdir()), load_bundle(mine).hash
    command = ("calibrate", str(mine), "--negatives", str(tone_folder / "_silence_"))

    with monkeypatch.context() as patch:

        def full(self: Path, *args: Any, **options: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))

        patch.setattr(Path, "write_bytes", full)
        assert "free some space" in complaint(capsys, *command)
    assert (sorted(path.name for path in mine.iterdir()), load_bundle(mine).hash) == before

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert "cannot be written, so the work would be lost" in complaint(capsys, *command)

    # Somebody else's thresholds are not overwritten unseen.
    opened = load_bundle(mine)
    store(opened, dataclasses.replace(opened.manifest, calibration=EVIDENCE))
    with pytest.raises(BundleError, match="has been changed in the meantime"):
        store(opened, opened.manifest)
    assert load_bundle(mine).manifest.calibration == EVIDENCE


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "nothing to measure was named"),
        (["--wav", "a.wav", "--positives", "d"], "--positives and --wav are of two different tests"),
        (["--labels", "a.csv"], "--wav missing"),
        (["--snr-db", "5", "--negatives", "d"], "--positives and --out missing"),
        (["--positives", "{tones}", "--negatives", "{empty}", "--out", "p.html"], "holds no sound file"),
        (["--positives", "{tones}/_silence_", "--negatives", "{tones}", "--out", "p.html"], "no folder of a word"),
    ],
)
def test_options_of_two_tests(
    stream_bundle: Bundle,
    tone_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    expected: str,
) -> None:
    (tmp_path / "empty").mkdir()
    filled = [option.format(tones=tone_folder, empty=tmp_path / "empty") for option in options]
    assert expected in complaint(capsys, "bench", "stream", str(stream_bundle.path), *filled)


@pytest.fixture(scope="module")
def drawn(
    stream_bundle: Bundle, tone_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A page with every chart, and its JSON: two utterances are of another word, one of the negatives is a word."""
    folder = tmp_path_factory.mktemp("stream")
    high, *more = sorted(clip.path for clip in DataFolder(tone_folder).clips("test") if clip.word == "high")
    for place in ("wrong/low/ann_nohash_0.wav", "wrong/low/ann_nohash_1.wav", "other/said.wav"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(more.pop() if "low" in place else high, folder / place)
    command = ["bench", "stream", str(stream_bundle.path), "--part", "test", "--snr-db", "0", "-30"]
    command += ["--positives", str(tone_folder), f"low={folder / 'wrong/low'}"]
    command += ["--negatives", str(tone_folder), str(folder / "other"), "--noise", str(tone_folder / "high")]
    command += ["--near-misses", str(tone_folder / "_silence_")]
    assert main([*command, "--out", str(folder / "page.html"), "--json", str(folder / "page.json")]) == 0
    return folder / "page.html", json.loads((folder / "page.json").read_text())


def test_what_was_measured_adds_up(drawn: tuple[Path, dict[str, Any]]) -> None:
    values = drawn[1]
    assert (values["utterances"], values["negatives"]["sounds"]) == (50, 25)
    assert values["negatives"]["hours"] == pytest.approx(25 / 3600)
    assert sum(row["utterances"] for row in values["speakers"]) == 50
    missed = sum(row["missed"] for row in values["words"].values())
    assert missed == values["missed_together"]["missed"] == sum(row["missed"] for row in values["speakers"])
    clean, *noisy = values["noise"]["rows"]
    assert [row["snr_db"] for row in noisy] == [0.0, -30.0]
    assert clean["missed"] == missed
    # The tone "high" thirty decibels above "low" leaves nothing of it.
    assert noisy[1]["words"]["low"][0] > 20 > clean["words"]["low"][0]
    assert set(values["trade_off"]) == {"all words", "low", "high"}
    for curve in values["trade_off"].values():
        assert all(p["miss_rate_ci95"][0] <= p["miss_rate"] <= p["miss_rate_ci95"][1] for p in curve)
        assert all(p["per_hour_ci95"][0] <= p["per_hour"] <= p["per_hour_ci95"][1] for p in curve)
        assert [p["missed"] for p in curve] == sorted(p["missed"] for p in curve)
    # The utterances that are of another word are missed whatever the threshold, and what was said is heard.
    assert values["trade_off"]["low"][0]["missed"] >= 2
    assert values["trade_off"]["high"][0]["false_accepts"] >= 1


@pytest.fixture(scope="module", params=[(1200, 900, True), (390, 844, False)], ids=["dark", "phone"])
def window(request: pytest.FixtureRequest) -> Iterator[Browser]:
    width, height, dark = request.param
    browser = Browser(width=width, height=height, dark=dark)
    yield browser
    browser.close()


def test_a_browser_draws_every_chart(drawn: tuple[Path, dict[str, Any]], window: Browser) -> None:
    window.open(drawn[0].as_uri())
    assert window.log() == []
    charts = window.run(
        "return [...document.querySelectorAll('svg.chart')].map(c => [c.getAttribute('aria-label'),"
        " c.getBoundingClientRect().width, c.getBoundingClientRect().height, c.querySelectorAll('path, use').length])"
    )
    names = [name for name, *_ in charts]
    assert names == [
        "Misses against false accepts, with intervals",
        "Misses against false accepts by word",
        "False accepts per hour",
        "Misses by word",
        "Misses in noise",
        "Misses by speaker",
        "Near misses by threshold",
    ]
    for name, width, height, paths in charts:
        assert width > 250, name
        assert height > 60, name
        assert paths > 4, name
    assert window.run("return document.documentElement.scrollWidth <= window.innerWidth")
    # Every picture is one, and every sound can be played.
    assert window.run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    lengths = window.run(
        "return Promise.all([...document.querySelectorAll('audio')].map(a => new Promise(done => {"
        " a.onloadedmetadata = () => done(a.duration); a.onerror = () => done(-1);"
        " a.preload = 'metadata'; a.load(); })))"
    )
    assert lengths
    assert all(0.5 < length <= 3.0 for length in lengths)
