"""Data folders: the layout, the parts, and what is refused."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from kwspot.runtime.audio.parts import part_of_speaker, speaker_of
from kwspot.runtime.audio.recordings import DataFolder, default_part
from kwspot.runtime.errors import ConfigError, DataFolderError


def which_set(filename: str, validation_percentage: float, testing_percentage: float) -> str:
    """The judge: the function in the README of Speech Commands, as it stands there."""
    base_name = filename.rsplit("/", 1)[-1]
    hash_name = re.sub(r"_nohash_.*$", "", base_name)
    hash_name_hashed = hashlib.sha1(hash_name.encode()).hexdigest()
    max_num_wavs_per_class = 2**27 - 1
    percentage_hash = (int(hash_name_hashed, 16) % (max_num_wavs_per_class + 1)) * (100.0 / max_num_wavs_per_class)
    if percentage_hash < validation_percentage:
        return "validation"
    if percentage_hash < (testing_percentage + validation_percentage):
        return "testing"
    return "training"


def folder_of(root: Path, *names: str) -> Path:
    """Empty files: a data folder is read by names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def speaker_in(part: str, index: int = 0) -> str:
    return [f"s{i}" for i in range(500) if part_of_speaker(f"s{i}") == part][index]


def test_official_rule() -> None:
    # From the lists that came with the data set.
    assert part_of_speaker("026290a7") == "validation"
    assert part_of_speaker("bb05582b") == "test"
    assert part_of_speaker("00176480") == "train"
    ours = {"training": "train", "testing": "test", "validation": "validation"}
    for i in range(2000):
        speaker = hashlib.md5(str(i).encode()).hexdigest()[:8]
        assert part_of_speaker(speaker) == ours[which_set(f"yes/{speaker}_nohash_{i % 5}.wav", 10, 10)]


def test_layout(tmp_path: Path) -> None:
    root = folder_of(
        tmp_path,
        "yes/b_nohash_1.wav",
        "yes/b_nohash_0.FLAC",
        "yes/a_nohash_0.ogg",
        "yes/notes.txt",
        "yes/.hidden.wav",
        "no way/take5.mp3",
        "_unknown_/c_nohash_0.wav",
        ".git/x.wav",
        "empty/readme.md",
        "_background_noise_/tap.wav",
        "_background_noise_/README.md",
        "README.md",
    )
    folder = DataFolder(root)
    assert folder.words == ("_unknown_", "no way", "yes")
    assert [clip.path.relative_to(root).as_posix() for clip in folder.clips()] == [
        "_unknown_/c_nohash_0.wav",
        "no way/take5.mp3",
        "yes/a_nohash_0.ogg",
        "yes/b_nohash_0.FLAC",
        "yes/b_nohash_1.wav",
    ]
    assert [clip.speaker for clip in folder.clips()] == ["c", "take5", "a", "b", "b"]
    assert [clip.word for clip in folder.clips(words=["yes"])] == ["yes"] * 3
    assert folder.noise_files == (root / "_background_noise_/tap.wav",)
    assert default_part(folder) == "all"


def test_speaker_of_a_name_with_dots() -> None:
    assert speaker_of("yes/anna.b_nohash_0.wav") == "anna.b"
    assert speaker_of("yes/anna.b.wav") == "anna.b"


def test_parts_by_rule(tmp_path: Path) -> None:
    speakers = {part: speaker_in(part) for part in ("train", "validation", "test")}
    names = [f"{word}/{speaker}_nohash_{n}.wav" for word in ("a", "b") for speaker in speakers.values() for n in (0, 1)]
    folder = DataFolder(folder_of(tmp_path, *names))
    assert default_part(folder) == "test"
    for part, speaker in speakers.items():
        assert {clip.speaker for clip in folder.clips(part)} == {speaker}
        assert len(folder.clips(part)) == 4
    assert len(folder.clips("all")) == 12


def test_lists_win_over_the_rule(tmp_path: Path) -> None:
    by_rule = {part: f"a/{speaker_in(part)}_nohash_0.wav" for part in ("train", "validation", "test")}
    root = folder_of(tmp_path, *by_rule.values())

    (root / "validation_list.txt").write_text(by_rule["train"] + "\n\n")
    parts = {clip.path.relative_to(root).as_posix(): clip.part for clip in DataFolder(root).clips()}
    assert parts == {by_rule["train"]: "validation", by_rule["validation"]: "train", by_rule["test"]: "test"}

    (root / "testing_list.txt").write_text(by_rule["validation"] + "\r\n")
    parts = {clip.path.relative_to(root).as_posix(): clip.part for clip in DataFolder(root).clips()}
    assert parts == {by_rule["train"]: "validation", by_rule["validation"]: "test", by_rule["test"]: "train"}

    (root / "validation_list.txt").unlink()
    parts = {clip.path.relative_to(root).as_posix(): clip.part for clip in DataFolder(root).clips()}
    assert parts == {by_rule["train"]: "train", by_rule["validation"]: "test", by_rule["test"]: "train"}


def test_clip_in_two_lists(tmp_path: Path) -> None:
    root = folder_of(tmp_path, "a/x_nohash_0.wav", "a/y_nohash_0.wav")
    for name in ("validation_list.txt", "testing_list.txt"):
        (root / name).write_text("a/x_nohash_0.wav\n")
    with pytest.raises(DataFolderError, match=r"a/x_nohash_0.wav is in both validation_list.txt and testing_list.txt"):
        DataFolder(root).clips("train")


def test_speaker_in_two_parts(tmp_path: Path) -> None:
    speaker = speaker_in("train")
    root = folder_of(tmp_path, f"a/{speaker}_nohash_0.wav", f"b/{speaker}_nohash_0.wav")
    (root / "validation_list.txt").write_text(f"a/{speaker}_nohash_0.wav\n")
    folder = DataFolder(root)
    assert [clip.part for clip in folder.clips()] == ["validation", "train"]
    (note,) = folder.parts.notes()
    assert f"validation_list.txt: speaker {speaker} is in the parts train and validation, so figures may be" in note


def numbered(word: str, speaker: str, count: int) -> list[str]:
    return [f"{word}/{speaker}_nohash_{n}.wav" for n in range(count)]


@pytest.mark.parametrize("speakers", [1, 2])
def test_one_or_two_people_are_split_by_recording(tmp_path: Path, speakers: int) -> None:
    people = [speaker_in("test", k) for k in range(speakers)]
    folder = DataFolder(
        folder_of(tmp_path, *(name for word in ("a", "b") for who in people for name in numbered(word, who, 12)))
    )
    (note,) = folder.parts.notes()
    assert f"are of {speakers} speaker" in note
    assert "known voices" in note
    for word in ("a", "b"):
        parts = Counter(clip.part for clip in folder.clips(words=[word]))
        assert parts["validation"] >= 1
        assert parts["test"] >= 1
        assert parts["train"] >= 10
    before = {clip.path: clip.part for clip in folder.clips()}
    last = people[-1]
    after = DataFolder(folder_of(tmp_path, f"a/{last}_nohash_12.wav", f"a/{last}_nohash_100.wav"))
    assert before.items() <= {clip.path: clip.part for clip in after.clips()}.items()


def test_a_list_of_one_persons_recordings_is_taken(tmp_path: Path) -> None:
    speaker = speaker_in("test")
    root = folder_of(tmp_path, *numbered("a", speaker, 12))
    (root / "validation_list.txt").write_text(f"a/{speaker}_nohash_0.wav\n")
    folder = DataFolder(root)
    assert Counter(clip.part for clip in folder.clips()) == {"train": 11, "validation": 1}
    assert "known voices" in folder.parts.notes()[0]


def test_one_persons_word_beside_words_of_many(tmp_path: Path) -> None:
    many = [speaker_in(part, k) for part in ("train", "validation", "test") for k in range(12)]
    names = [f"yes/{who}_nohash_0.wav" for who in many]
    folder = DataFolder(folder_of(tmp_path, *names, *numbered("lumos", speaker_in("train", 20), 20)))
    assert Counter(clip.part for clip in folder.clips(words=["lumos"])) == {"train": 16, "validation": 2, "test": 2}
    assert all(clip.part == part_of_speaker(clip.speaker) for clip in folder.clips(words=["yes"]))
    (note,) = folder.parts.notes()
    assert note.startswith("the recordings of lumos are of 1 speaker")


def test_of_few_speakers_one_validates(tmp_path: Path) -> None:
    family = [speaker_in("train", k) for k in range(4)]
    names = [name for word in ("a", "b") for who in family for name in numbered(word, who, 5)]
    folder = DataFolder(folder_of(tmp_path, *names))
    held = {clip.speaker for clip in folder.clips("validation")}
    assert len(held) == 1
    assert {clip.speaker for clip in folder.clips("train")} == set(family) - held
    assert "few people say a, b: validated on" in folder.parts.notes()[0]


def test_names_that_tell_no_speaker(tmp_path: Path) -> None:
    lone = [f"a/take{k}.wav" for k in range(200) if part_of_speaker(f"take{k}") == "train"][:24]
    folder = DataFolder(folder_of(tmp_path, *lone))
    assert Counter(clip.part for clip in folder.clips()) == {"train": 20, "validation": 2, "test": 2}
    assert "tell no speaker" in folder.parts.notes()[0]


def test_names_are_compared_composed(tmp_path: Path) -> None:
    decomposed, composed = "scho\u0308n", "sch\u00f6n"
    names = [f"{decomposed}/a_nohash_0.wav", f"{composed}/a_nohash_0.wav", f"b/{decomposed}_nohash_0.wav"]
    root = folder_of(tmp_path, *names, "b/c_nohash_0.wav", "b/d_nohash_0.wav")
    (root / "validation_list.txt").write_text(f"b/{composed}_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("")
    folder = DataFolder(root)
    assert folder.words == ("b", composed)
    assert len(folder.clips(words=[decomposed])) == len(folder.clips(words=[composed])) == 2
    assert [clip.path.name for clip in folder.clips("validation")] == [f"{decomposed}_nohash_0.wav"]


def test_noise_is_found_in_folders_of_its_own(tmp_path: Path) -> None:
    names = ("_background_noise_/rain/a/x.wav", "_background_noise_/tap.wav", "_background_noise_/.trash/y.wav")
    folder = DataFolder(folder_of(tmp_path, "yes/x.wav", *names))
    assert [path.relative_to(tmp_path).as_posix() for path in folder.noise_files] == list(names[:2])


def test_a_bare_name_tells_no_speaker(tmp_path: Path) -> None:
    root = folder_of(tmp_path, "a/1.wav", "b/1.wav")
    (root / "validation_list.txt").write_text("a/1.wav\n")
    (root / "testing_list.txt").write_text("")
    assert [clip.part for clip in DataFolder(root).clips()] == ["validation", "train"]


def test_list_of_more_words_than_are_here(tmp_path: Path) -> None:
    root = folder_of(tmp_path, "a/x_nohash_0.wav")
    (root / "validation_list.txt").write_text("a/x_nohash_0.wav\na/gone_nohash_0.wav\nother/z_nohash_0.wav\n")
    folder = DataFolder(root)
    assert [clip.part for clip in folder.clips()] == ["validation"]
    assert folder.parts.listed_but_missing == ["a/gone_nohash_0.wav"]


def test_list_of_another_folder(tmp_path: Path) -> None:
    root = folder_of(tmp_path, "a/x_nohash_0.wav")
    (root / "validation_list.txt").write_text("C:\\data\\a\\x_nohash_0.wav\n")
    with pytest.raises(DataFolderError, match="forward slashes"):
        DataFolder(root).clips()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no folder"),
        (["README.md", "_background_noise_/tap.wav", ".git/config"], "holds no folder"),
        (["yes/notes.txt", "no/sub/x.wav"], "holds no sound file in no, yes"),
        (["x.wav", "yes/a_nohash_0.wav"], "outside of word folders, such as x.wav"),
    ],
)
def test_no_data_folder(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataFolderError, match=message) as caught:
        DataFolder(folder_of(tmp_path, *names))
    assert "expected DIR/<word>/<speaker>_nohash_<n>.wav" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="does not exist"):
        DataFolder(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="is not a folder"):
        DataFolder(tmp_path / "file")


def test_unknown_word_or_part(tmp_path: Path) -> None:
    folder = DataFolder(folder_of(tmp_path, "yes/x.wav", "no/x.wav"))
    with pytest.raises(DataFolderError, match="no recordings of maybe; expected some of no, yes"):
        folder.clips(words=["yes", "maybe"])
    with pytest.raises(ConfigError, match="'testing'"):
        folder.clips("testing")


def test_real_recordings(recordings: Path) -> None:
    folder = DataFolder(recordings / "speech_commands")
    clips = folder.clips()
    assert len(clips) == 16_518
    assert Counter(clip.part for clip in clips) == {"train": 14_775, "validation": 1_743}
    assert len(folder.words) == 30
    assert len(folder.noise_files) == 6
    assert [clip.path for clip in clips] == sorted(clip.path for clip in clips)
    # The list is the official one: the rule alone must come to the same.
    assert all(part_of_speaker(clip.speaker) == clip.part for clip in clips)
    of_three = Counter(clip.part for clip in folder.clips(words=["bed", "cat", "happy"]))
    assert of_three == {"train": 4_100, "validation": 493}
