"""``kwspot record``: what is cut out of sound, what has to be said again, and the files, through the real PortAudio."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_microphone import PATIENCE_S, RATE_HZ, Player

from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.record.folder import UtteranceFolder
from kwspot.runtime.record.utterances import Rejection, Utterance, UtteranceCutter
from kwspot.runtime.record.word_finder import CLIP_MS, MARGIN_MS, find_word, trim

MS = RATE_HZ // 1000


def tone(ms: int, peak: float = 8000.0) -> np.ndarray:
    return peak * np.sin(2 * np.pi * 440 * np.arange(ms * MS) / RATE_HZ)


def in_room(*parts: int | np.ndarray, noise: float = 10.0, offset: float = 0.0) -> np.ndarray:
    """Sounds, and pauses in ms, one after the other in a room."""
    sound = np.concatenate([np.zeros(part * MS) if isinstance(part, int) else part for part in parts])
    noisy = sound + offset + np.random.default_rng(1).normal(0, noise, len(sound))
    return np.clip(np.rint(noisy), -32768, 32767).astype(np.int16)


def cut(sound: np.ndarray, longest_s: float = 4.0) -> list[Utterance | Rejection]:
    return UtteranceCutter(RATE_HZ, longest_s=longest_s).push(sound)


@given(
    before=st.integers(200, 1500),
    length=st.integers(100, 1500),
    noise=st.sampled_from([0.0, 3.0, 30.0]),
    offset=st.sampled_from([0.0, 2000.0]),
)
@settings(max_examples=40, deadline=None)
def test_a_word_is_found_to_a_frame_and_has_its_margins(before, length, noise, offset):
    sound = in_room(before, tone(length), 600, noise=noise, offset=offset)
    word = find_word(sound, RATE_HZ)
    assert word is not None
    assert word.has_ended
    assert abs(word.start - before * MS) <= 10 * MS
    assert abs(word.end - (before + length) * MS) <= 10 * MS
    start, end = trim(word, len(sound), RATE_HZ)
    assert 0 <= start <= word.start < word.end <= end <= len(sound)
    assert end - start == min(len(sound), max(CLIP_MS * MS, word.end - word.start + 2 * MARGIN_MS * MS))


SEVERAL = (600, tone(400), 700, tone(300, 100), 800, tone(500), 200, tone(100), 600, 3200)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=20))
@settings(max_examples=5, deadline=None)
def test_the_slicing_of_the_sound_changes_no_utterance(lengths):
    sound, cutter = in_room(*SEVERAL), UtteranceCutter(RATE_HZ, longest_s=3.0)
    found: list[Utterance | Rejection] = []
    at = 0
    for length in [*lengths, len(sound)]:
        found += cutter.push(sound[at : at + length])
        at += length
    assert [type(result) for result in found] == [Utterance, Rejection, Utterance, Rejection]
    for result, whole in zip(found, cut(sound, 3.0), strict=True):
        assert type(result) is type(whole)
        if isinstance(result, Utterance):
            np.testing.assert_array_equal(result.samples, whole.samples)
        else:
            assert result == whole


@pytest.mark.parametrize(
    ("kind", "sound"),
    [
        ("quiet", in_room(700, tone(400, 200), 900, noise=2)),
        ("clipped", in_room(700, tone(400, 60_000), 900)),
        ("noisy", in_room(700, tone(400, 4000), 900, noise=600)),
        ("cut", in_room(tone(400), 900)),
        ("endless", in_room(1000, tone(3000))),
        ("nothing", in_room(4000)),
        ("nothing", np.zeros(4 * RATE_HZ, np.int16)),
        ("nothing", in_room(1000, tone(20), 3000)),  # a click
    ],
)
def test_what_has_to_be_said_again(kind, sound):
    (again,) = cut(sound)
    assert isinstance(again, Rejection)
    assert again.kind == kind


def test_a_stop_inside_a_word_does_not_end_it_and_what_comes_after_is_the_next():
    utterances = cut(in_room(500, tone(300), 250, tone(100), 600, tone(400), 600))
    assert [round(utterance.word_s, 1) for utterance in utterances if isinstance(utterance, Utterance)] == [0.7, 0.4]
    assert all(len(utterance.samples) >= RATE_HZ for utterance in utterances if isinstance(utterance, Utterance))


def test_real_words_are_taken_whole(recordings):
    folder = DataFolder(recordings / "speech_commands")
    clips = folder.clips("all", ["yes", "six", "eight", "house", "marvin"])
    taken = tried = 0
    for clip in clips[:: max(1, len(clips) // 60)]:
        tried += 1
        sound = read_sound(clip.path, RATE_HZ)
        found = cut(in_room(600, sound.astype(float), 800))
        utterances = [result for result in found if isinstance(result, Utterance)]
        if len(utterances) != 1 or len(found) != 1:
            continue
        energy = np.square(sound.astype(float)).sum()
        taken += np.square(utterances[0].samples.astype(float)).sum() > 0.99 * energy
    assert tried >= 20
    assert taken >= 0.9 * tried, (taken, tried)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["../up"], "cannot be the name of a word's folder"),
        (["_unknown_"], "cannot be the name of a word's folder"),
        ([""], "cannot be the name of a word's folder"),
        (["lamp", "--count", "0"], "--count 0: expected"),
        (["lamp", "--seconds", "nan"], "--seconds nan: expected 1.5 to 60"),
        (["lamp", "--speaker", "a_nohash_1"], "expected a speaker's name"),
        (["lamp", "--channel", "0"], "expected a number from 1, or mean"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, arguments, says):
    assert cli.main(["record", *arguments, "--to", str(tmp_path / "mine")]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not (tmp_path / "mine").exists()


def test_two_recorders_of_one_speaker_and_word_take_different_numbers(tmp_path):
    def record(loudness: int) -> list[Path]:
        folder = UtteranceFolder(tmp_path, "lamp", "ann")
        return [folder.keep(np.full(100, loudness, np.int16), RATE_HZ) for _ in range(25)]

    with ThreadPoolExecutor() as pool:
        paths = [path for paths in pool.map(record, range(1, 5)) for path in paths]
    assert len(set(paths)) == 100
    assert {path.name for path in (tmp_path / "lamp").iterdir()} == {f"ann_nohash_{n}.wav" for n in range(100)}
    kept = [int(read_sound(path, RATE_HZ)[0]) for path in paths]
    assert sorted(kept) == sorted([1, 2, 3, 4] * 25)


def test_what_cannot_be_written_takes_no_number(tmp_path, monkeypatch):
    folder = UtteranceFolder(tmp_path, "lamp", "ann")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("kwspot.runtime.record.folder.write_wav", full)
        with pytest.raises(OSError, match="No space left"):
            folder.keep(np.ones(9, np.int16), RATE_HZ)
    assert list((tmp_path / "lamp").iterdir()) == []
    assert folder.keep(np.ones(9, np.int16), RATE_HZ).name == "ann_nohash_0.wav"


@pytest.fixture
def spoken(pulse):
    """A word every second and a half, forever."""
    player = Player(pulse.pipe, in_room(600, tone(400), 500))
    yield
    player.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kwspot.runtime.cli", "record", *arguments]


def test_utterances_are_whole_files_that_are_numbered_on(tmp_path, pulse, spoken):
    mine = tmp_path / "mine"
    first = mine / "hey lamp/ann_nohash_6.flac"
    first.parent.mkdir(parents=True)
    first.write_bytes(b"of ann, in another format")
    (mine / "hey lamp/joanne_nohash_40.wav").write_bytes(b"of another")
    arguments = ["hey lamp", "--to", str(mine), "--speaker", "ann", "--count", "2", "--device", "pmic"]
    done = subprocess.run(
        command(*arguments), env={**os.environ, **pulse.settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["file"] for row in rows] == [str(mine / f"hey lamp/ann_nohash_{n}.wav") for n in (7, 8)]
    for row in rows:
        assert row["word_s"] == pytest.approx(0.4, abs=0.021)
        assert row["peak_db"] == pytest.approx(-12.2, abs=0.5)
        assert len(read_sound(row["file"], RATE_HZ)) == row["clip_s"] * RATE_HZ >= 0.95 * RATE_HZ
    assert "2 of 2: say 'hey lamp'" in done.stderr
    assert first.read_bytes() == b"of ann, in another format"
    assert len(list(first.parent.iterdir())) == 4


def test_ctrl_c_keeps_what_is_there(tmp_path, pulse, spoken):
    process = subprocess.Popen(
        command("lamp", "--to", str(tmp_path / "mine"), "--speaker", "ann"),
        env={**os.environ, **pulse.settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, mumbled = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 130, mumbled
    assert "Traceback" not in mumbled
    kept = sorted((tmp_path / "mine/lamp").iterdir())
    assert kept
    assert [json.loads(line)["file"] for line in (first + said).splitlines()] == [str(path) for path in kept]


def test_a_folder_that_cannot_be_written_in(tmp_path, pulse, spoken, monkeypatch, capsys):
    for name, value in pulse.settings.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "mine").write_text("a file")
    assert cli.main(["record", "lamp", "--to", str(tmp_path / "mine"), "--count", "1"]) == 2
    said = capsys.readouterr().err
    assert "mine/lamp cannot be written in (Not a directory)" in said
    assert said.count("\n") == 1


def test_a_muted_microphone_ends_it(tmp_path, pulse, monkeypatch, capsys):
    for name, value in pulse.settings.items():
        monkeypatch.setenv(name, value)
    player = Player(pulse.pipe, np.zeros(RATE_HZ, np.int16))
    try:
        monkeypatch.setattr("kwspot.runtime.record.cli.NOTHING_IN_A_ROW", 2)
        assert cli.main(["record", "lamp", "--to", str(tmp_path / "mine"), "--seconds", "1.5"]) == 2
    finally:
        player.close()
    assert "muted" in capsys.readouterr().err.splitlines()[-1]


def test_every_line_of_the_page_runs(tmp_path, pulse, spoken):
    page = (Path(__file__).parents[2] / "docs/recording.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-e", "-c", block],
        env={**os.environ, **pulse.settings, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert DataFolder(tmp_path / "mine").words == ("hey computer", "lamp")
