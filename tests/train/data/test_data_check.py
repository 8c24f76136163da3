"""`kwspot data check`: counts what is there and lists all that is wrong, whatever it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kwspot.runtime.audio.parts import part_of_speaker
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.cli import main
from kwspot.runtime.features.level import CLIPPED_SAMPLES
from kwspot.train.data.check import examine

RATE_HZ = 16_000
TRAIN, VALIDATION = (
    [name for i in range(300) if part_of_speaker(name := f"s{i}") == part] for part in ("train", "validation")
)


def sound(seed: int, samples: int = RATE_HZ, peak: int = 9_000) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-peak, peak + 1, samples).astype(np.int16)


def write(path: Path, samples: NDArray[np.generic], rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype=subtype)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A folder with one of each fault, and five good clips."""
    root = tmp_path / "data"
    write(root / f"yes/{TRAIN[0]}_nohash_0.wav", sound(0))
    write(root / f"yes/{TRAIN[0]}_nohash_1.wav", sound(1))
    write(root / f"no/{TRAIN[1]}_nohash_0.wav", sound(2, 2 * 48_000), rate_hz=48_000)
    write(root / f"no/{VALIDATION[0]}_nohash_0.flac", sound(3))

    write(root / f"yes/{TRAIN[2]}_nohash_0.wav", sound(4))
    whole = (root / f"yes/{TRAIN[2]}_nohash_0.wav").read_bytes()
    (root / f"yes/{TRAIN[2]}_nohash_0.wav").write_bytes(whole[:20_000])
    (root / "yes/empty.wav").write_bytes(b"")
    write(root / "yes/no_samples.wav", np.empty(0, np.int16))
    (root / "yes/text.wav").write_text("a shopping list\n")
    nan = np.full(100, 0.1)
    nan[50] = np.nan
    write(root / "yes/nan.wav", nan, subtype="FLOAT")
    flac = (root / f"no/{VALIDATION[0]}_nohash_0.flac").read_bytes()
    (root / "no/broken.flac").write_bytes(flac[: len(flac) // 2])
    write(root / "no/zeros.wav", np.zeros(RATE_HZ, np.int16))
    write(root / "no/faint.wav", sound(5, peak=32))
    write(root / "no/more_zeros.wav", np.zeros(RATE_HZ, np.int16))
    clipped = sound(6)
    clipped[100 : 100 + CLIPPED_SAMPLES - 4] = 32767
    clipped[200:204] = -32768
    write(root / "no/loud.wav", clipped)
    write(root / "yes/copy.flac", sound(2, 2 * 48_000), rate_hz=48_000)
    (root / "no/dangling.wav").symlink_to("nowhere.wav")
    (root / "no/notes.txt").write_text("")
    (root / "no/.hidden").write_text("")
    (root / "no/sub").mkdir()
    (root / "maybe").mkdir()
    write(root / "_background_noise_/tap.wav", sound(7, 32_000))
    (root / "_background_noise_/bad.wav").write_text("")
    (root / "testing_list.txt").write_text(f"yes/{TRAIN[0]}_nohash_1.wav\nyes/gone_nohash_0.wav\n")
    return root


FAULTS = {
    ("unreadable", "no/dangling.wav"),
    ("not sound", "yes/text.wav"),
    ("corrupt", "yes/nan.wav"),
    ("corrupt", "no/broken.flac"),
    ("truncated", f"yes/{TRAIN[2]}_nohash_0.wav"),
    ("empty", "yes/empty.wav"),
    ("empty", "yes/no_samples.wav"),
    ("empty", "_background_noise_/bad.wav"),
    ("silent", "no/zeros.wav"),
    ("silent", "no/more_zeros.wav"),
    ("silent", "no/faint.wav"),
    ("clipped", "no/loud.wav"),
    ("duplicated", "yes/copy.flac"),
    ("two parts", f"speaker {TRAIN[0]}"),
    ("missing", "yes/gone_nohash_0.wav"),
    ("left out", "no/notes.txt"),
    ("left out", "no/sub"),
    ("left out", "maybe"),
}


def test_each_fault_is_listed_once(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(faulty), "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert "maybe" in err  # the text for people, as of every command
    report = json.loads(out)
    assert report["schema"] == "kwspot.data-check/1"
    found = [(fault["kind"], fault["path"]) for fault in report["faults"]]
    assert len(found) == len(set(found))
    assert set(found) == FAULTS
    details = {fault["path"]: fault["detail"] for fault in report["faults"]}
    assert f"no/{TRAIN[1]}_nohash_0.wav" in details["yes/copy.flac"]
    assert details[f"speaker {TRAIN[0]}"] == "in the parts train and test"
    assert details["no/zeros.wav"] == "all samples are zero"


def test_counts(faulty: Path) -> None:
    report = examine(DataFolder(faulty))
    yes = report.words["yes", "train"]
    assert report.words["yes", "test"].clips == 1
    # Two good ones, truncated, empty, no_samples, text, nan and copy: files are counted, readable or not.
    assert sum(report.words["yes", part].clips for part in ("train", "validation", "test")) == 8
    assert yes.hours >= 1 / 3600
    total = sum(count.hours for count in report.parts.values()) * 3600
    # Good 1 + 1 + 2 + 1, copied 2, silent 3, clipped 1; what cannot be read counts no time.
    assert total == pytest.approx(11)
    assert report.noise.clips == 2
    assert report.noise.hours * 3600 == pytest.approx(2)


def test_people_see_table_and_one_list_at_the_end(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(faulty), "--json", str(tmp_path / "report.json")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    table, _, faults = out.partition(f"Found {len(FAULTS)}:")
    assert "validation" in table
    assert all(f"  {path}: " in faults for _, path in FAULTS)
    assert len(json.loads((tmp_path / "report.json").read_text())["faults"]) == len(FAULTS)


def test_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k, speaker in enumerate([*TRAIN[:8], *VALIDATION[:2]]):
        write(tmp_path / f"yes/{speaker}_nohash_0.wav", sound(10 + k))
    write(tmp_path / f"yes/{TRAIN[8]}_nohash_0.wav", sound(1))
    # Full scale now and then is no clipping, and a peak above -60 dBFS no silence.
    touching = sound(2)
    touching[::50] = 32767
    write(tmp_path / f"yes/{TRAIN[8]}_nohash_1.wav", touching)
    write(tmp_path / f"yes/{TRAIN[9]}_nohash_2.wav", sound(3, peak=40))
    # The same samples at another rate are another sound.
    write(tmp_path / f"yes/{TRAIN[9]}_nohash_3.wav", sound(1), rate_hz=8_000)
    assert main(["data", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("Nothing wrong was found.\n")


def test_what_training_would_refuse_or_take_for_something_else_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(24):
        write(tmp_path / f"yes/take{k}.wav", sound(k))
        write(tmp_path / f"noise/take{k}.wav", sound(100 + k))
    write(tmp_path / "no/ann/take0.wav", sound(200))
    write(tmp_path / f"no/{TRAIN[0]}.wav", sound(201))
    write(tmp_path / "go/take1.wav", sound(202))
    (tmp_path / "validation_list.txt").write_text("go/take1.wav\n")
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"To know: the names of 50 recordings, such as {TRAIN[0]}.wav, tell no speaker" in out
    assert "To know: recordings in no/ann are not read" in out
    assert "there are too few of no 1 and 0" in out
    assert "  go: 0 to train on" in out
    assert "  noise: a word, unless it is renamed to _background_noise_" in out
    assert main(["data", "check", str(tmp_path), "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 3


def test_clipping_in_one_channel_and_in_floats(tmp_path: Path) -> None:
    stereo = np.stack([sound(1), sound(2)], axis=1)
    stereo[50:80, 1] = -32768
    write(tmp_path / "yes/stereo.wav", stereo)
    floats = sound(3) / 32768
    floats[50:80] = 3.0
    write(tmp_path / "yes/floats.wav", floats, subtype="FLOAT")
    faults = examine(DataFolder(tmp_path)).faults
    assert [(fault.kind, fault.path, fault.detail) for fault in faults if fault.kind != "no training"] == [
        ("clipped", "yes/floats.wav", "30 samples at full scale"),
        ("clipped", "yes/stereo.wav", "30 samples at full scale"),
    ]


def test_names_that_cannot_be_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "yes/a.wav", sound(1))
    (tmp_path / "yes/a.wav").rename(os.fsdecode(bytes(tmp_path) + b"/yes/\xff\n.wav"))
    (tmp_path / "yes" / os.fsdecode(b"\xfe.wav")).write_text("no sound")
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "  yes/\\xfe.wav: " in out
    out.encode()


def test_unusable_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path / "none")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "does not exist" in err


def test_real_recordings(recordings: Path) -> None:
    report = examine(DataFolder(recordings / "speech_commands"))
    assert {part: count.clips for part, count in report.parts.items()} == {
        "train": 14_775,
        "validation": 1_743,
        "test": 0,
    }
    assert sum(count.hours for count in report.parts.values()) == pytest.approx(4.51, abs=0.01)
    kinds = {kind: [f.path for f in report.faults if f.kind == kind] for kind in {f.kind for f in report.faults}}
    # Microphones that were nearly off and others that were too near; nothing is broken.
    assert kinds.keys() == {"silent", "clipped"}
    assert len(kinds["silent"]) == 36
    assert len(kinds["clipped"]) == 68
