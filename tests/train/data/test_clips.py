"""Which clips are trained on, how many, with which labels, and in which batches."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime.audio.parts import part_of_speaker
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.normalise import Normalisation
from kwspot.train.config.config import Config
from kwspot.train.config.tables import AugmentConfig, DataConfig, ModelConfig, TrainingConfig
from kwspot.train.data.clips import calibration_clips, load_clips, noise_kind, notes_on
from kwspot.train.data.pipeline import DrawnExamples, FixedExamples, features_of, in_order, training_examples

RATE_HZ = 16_000
TRAIN = {"red": 20, "green": 30, "blue": 12, "gold": 14}
"""Word → training clips; a fifth as many to validate on."""

SaveWav = Callable[..., Path]


def speakers(part: str, count: int) -> list[str]:
    names = (f"s{k:03}" for k in range(1_000))
    return [name for name in names if part_of_speaker(name) == part][:count]


def fill(root: Path, word: str, part: str, count: int, save_wav: SaveWav) -> None:
    for k, speaker in enumerate(speakers(part, count)):
        # The level tells clips apart: each sample of a clip is its own.
        samples = np.full(6_000, 100 * (1 + k) + len(word), np.int16)
        save_wav(root / word / f"{speaker}_nohash_0.wav", samples)


@pytest.fixture
def folder(tmp_path: Path, save_wav: SaveWav) -> Path:
    root = tmp_path / "data"
    for word, count in TRAIN.items():
        fill(root, word, "train", count, save_wav)
        fill(root, word, "validation", count // 5, save_wav)
    return root


def config(augment: AugmentConfig | None = None, batch_size: int = 8, **data: object) -> Config:
    return Config(
        model=ModelConfig("perceptron"),
        data=DataConfig(clip_ms=500, **data),
        augment=augment or AugmentConfig(),
        training=TrainingConfig(batch_size=batch_size),
    )


def test_words_keep_their_order_and_their_clips(folder: Path) -> None:
    train, validation = load_clips(DataFolder(folder), config(words=("red", "green", "blue")))
    assert train.labels == ("red", "green", "blue")
    assert train.counts == {"red": 20, "green": 30, "blue": 12}
    assert validation.counts == {"red": 4, "green": 6, "blue": 2}
    assert train.samples.shape[0] == 62
    for name, label, samples in zip(train.names, train.label_of, train.samples, strict=True):
        assert name.startswith(train.labels[label] + "/")
        assert samples.max() % 100 == len(train.labels[label])
    assert not set(train.names) & set(validation.names)


def test_all_words_by_default(folder: Path) -> None:
    assert load_clips(DataFolder(folder), config())[0].labels == ("blue", "gold", "green", "red")


def add_noise(folder: Path, save_wav: SaveWav) -> None:
    save_wav(folder / "_background_noise_" / "hum.wav", np.arange(1_000, dtype=np.int16))


def test_shares_are_relative_to_the_mean_word(folder: Path, save_wav: SaveWav) -> None:
    add_noise(folder, save_wav)
    asked = config(words=("red", "green"), unknown_share=2.0, silence_share=0.4)
    train, validation = load_clips(DataFolder(folder), asked)
    assert train.labels == ("red", "green", "_unknown_", "_silence_")
    assert train.counts == {"red": 20, "green": 30, "_unknown_": 50, "_silence_": 10}
    # 10 are wanted to validate on, 4 are there: none is counted twice.
    assert validation.counts == {"red": 4, "green": 6, "_unknown_": 4, "_silence_": 2}
    clip, label = train.draw(np.random.default_rng(1))
    assert (label[clip < 0] == 3).all()
    seen = Counter(train.names[k].split("/")[0] for k in clip[label == 2])
    assert set(seen) == {"blue", "gold"}
    # 26 clips, 50 examples: each once or twice.
    assert set(Counter(clip[label == 2].tolist()).values()) == {1, 2}
    # All of each word, each once.
    assert sorted(clip[label == 1]) == np.flatnonzero(train.label_of == 1).tolist()
    again, _ = train.draw(np.random.default_rng(2))
    assert not np.array_equal(clip, again)


def test_unknown_alone_is_enough_for_one_word(folder: Path) -> None:
    train, _ = load_clips(DataFolder(folder), config(words=("red",), unknown_share=1.0))
    assert train.counts == {"red": 20, "_unknown_": 20}


def test_noise_to_mix_in_is_made_where_none_was_recorded(folder: Path) -> None:
    assert noise_kind(DataFolder(folder), config()) == "none"
    asked = config(AugmentConfig(noise_share=0.5))
    assert noise_kind(DataFolder(folder), asked) == "made"
    assert [len(kind) for kind in load_clips(DataFolder(folder), asked)[0].noise.kinds] == [3]


def test_silence_is_cut_from_recorded_noise_alone(folder: Path, save_wav: SaveWav) -> None:
    asked = config(silence_share=1.0)
    with pytest.raises(DataFolderError, match=r"no _background_noise_, and .* silence_share = 1.0 cuts _silence_"):
        load_clips(DataFolder(folder), asked)
    add_noise(folder, save_wav)
    assert noise_kind(DataFolder(folder), asked) == "recorded"
    train, validation = load_clips(DataFolder(folder), asked)
    assert train.noise.kinds[0][0].max() == 799
    assert validation.noise.kinds[0][0].min() == 800


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"words": ("red",)}, "red alone cannot be told from anything"),
        ({"words": ("red", "rde")}, r"no recordings of rde; it has blue, few, gold, green, late, red: name"),
        ({"words": ("red", "few")}, r"few 9 of 9; expected 10 or more of each: name others with --words, such as red"),
        ({"words": ("red", "late")}, "late 9 of 10; expected 10 or more of each"),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    folder: Path, save_wav: SaveWav, data: dict[str, object], message: str
) -> None:
    fill(folder, "few", "train", 9, save_wav)
    fill(folder, "late", "train", 10, save_wav)
    with pytest.raises(DataFolderError, match=message):
        load_clips(DataFolder(folder), config(**data))


def test_no_validation_part_at_all(tmp_path: Path, save_wav: SaveWav) -> None:
    for word in ("red", "blue"):
        fill(tmp_path, word, "train", 9, save_wav)
    with pytest.raises(DataFolderError, match=r"no clips to validate on; .* validation_list.txt"):
        load_clips(DataFolder(tmp_path), config())


def test_broken_recordings_are_counted_not_left_out(folder: Path) -> None:
    broken = [folder / "red" / f"{speaker}_nohash_0.wav" for speaker in speakers("train", 2)]
    for path in broken:
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataFolderError, match="2 of 76 recordings cannot be used, the first: ") as caught:
        load_clips(DataFolder(folder), config())
    assert str(broken[0]) in str(caught.value)
    assert f"kwspot data check {folder}" in str(caught.value)


def test_calibration_is_a_fair_choice_of_training_clips(folder: Path, save_wav: SaveWav) -> None:
    add_noise(folder, save_wav)
    train, _ = load_clips(DataFolder(folder), config(silence_share=1.0))
    chosen = calibration_clips(train, seed=1, most=40)
    assert chosen == sorted(set(chosen))
    assert Counter(name.split("/")[0] for name in chosen) == dict.fromkeys(TRAIN, 10)
    assert set(chosen) <= set(train.names)
    assert calibration_clips(train, seed=1, most=40) == chosen
    assert calibration_clips(train, seed=2, most=40) != chosen


@pytest.fixture
def tones(tone_folder: Path) -> DataFolder:
    return DataFolder(tone_folder)


def normalisation_of(train: object, asked: Config) -> Normalisation:
    clean = features_of(train.samples, asked.features)
    return Normalisation.from_frames(clean.reshape(-1, clean.shape[-1]))


def test_without_augmentation_the_features_are_those_of_the_clips(tones: DataFolder) -> None:
    asked = config(words=("low", "high"))
    train, _ = load_clips(tones, asked)
    normalisation = normalisation_of(train, asked)
    examples = training_examples(train, asked, normalisation)
    assert isinstance(examples, FixedExamples)
    batches = list(examples.epoch(1))
    assert [len(frames) for frames, _ in batches] == [8] * 12
    frames, targets = (np.concatenate(part) for part in zip(*batches, strict=True))
    assert frames.shape == (96, asked.frames, 20)
    assert abs(frames.mean(axis=(0, 1))).max() < 1e-3
    assert abs(frames.std(axis=(0, 1)) - 1).max() < 1e-3
    expected = {
        normalisation.apply(mfcc(samples, asked.features)).tobytes(): label
        for samples, label in zip(train.samples, train.label_of, strict=True)
    }
    assert {row.tobytes(): int(target.argmax()) for row, target in zip(frames, targets, strict=True)} == expected
    # Another order in the next epoch, the same when asked again.
    assert not np.array_equal(next(examples.epoch(2))[0], batches[0][0])
    np.testing.assert_array_equal(next(examples.epoch(1))[0], batches[0][0])


def test_an_augmented_epoch_depends_on_seed_and_epoch_alone(tones: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    augment = AugmentConfig(time_shift_ms=50, gain_db=(-6, 6), noise_share=0.5)
    asked = config(augment, words=("low", "high"), silence_share=0.5)
    train, _ = load_clips(tones, asked)
    examples = training_examples(train, asked, normalisation_of(train, asked))
    assert isinstance(examples, DrawnExamples)
    assert len(examples) == 96 + 24

    def epoch(number: int) -> tuple[np.ndarray, np.ndarray]:
        frames, targets = zip(*examples.epoch(number), strict=True)
        return np.concatenate(frames), np.concatenate(targets)

    frames, targets = epoch(3)
    assert frames.shape == (120, asked.frames, 20)
    assert frames.dtype == targets.dtype == np.float32
    assert targets.sum(axis=0).tolist() == [48, 48, 24]
    # Several threads, or none ahead, make the same as one with a queue.
    monkeypatch.setattr("kwspot.train.data.pipeline.PIPELINE_THREADS", 3)
    monkeypatch.setattr("kwspot.train.data.pipeline._BATCHES_AHEAD", 0)
    again, _ = epoch(3)
    np.testing.assert_array_equal(again, frames)
    assert not np.array_equal(epoch(4)[0], frames)
    other = dataclasses.replace(asked, training=dataclasses.replace(asked.training, seed=2))
    other_frames = np.concatenate([f for f, _ in DrawnExamples(train, other, normalisation_of(train, asked)).epoch(3)])
    assert not np.array_equal(other_frames, frames)


def test_a_smaller_unknown_than_its_pool_is_drawn_anew(tones: DataFolder) -> None:
    asked = config(words=("low",), unknown_share=0.25)
    train, _ = load_clips(tones, asked)
    examples = training_examples(train, asked, normalisation_of(train, asked))
    assert isinstance(examples, DrawnExamples)
    first, second = (
        {row.tobytes() for frames, targets in examples.epoch(k) for row in frames[targets[:, 1] > 0]} for k in (1, 2)
    )
    assert len(first) == len(second) == 12
    assert first != second


def test_jobs_come_back_in_order_and_an_error_comes_through() -> None:
    assert list(in_order((lambda k=k: k for k in range(100)), 2)) == list(range(100))

    def fail() -> int:
        raise DataFolderError("here")

    results = in_order([lambda: 1, fail, lambda: 2], 2)
    assert next(results) == 1
    with pytest.raises(DataFolderError, match="here"):
        next(results)


def test_a_folder_that_may_mean_something_else_is_asked_about(folder: Path, save_wav: SaveWav) -> None:
    fill(folder, "Noise", "train", 12, save_wav)
    fill(folder, "_unknown", "train", 12, save_wav)
    with pytest.raises(
        DataFolderError, match=r"has a folder Noise; expected noise to mix in in _background_noise_: re"
    ):
        load_clips(DataFolder(folder), config(words=()))
    notes = notes_on(DataFolder(folder), config(words=("red", "green")))
    assert notes == [
        "Noise is used as nothing; if it holds noise to mix in, rename it to _background_noise_",
        "_unknown is used as nothing; if it holds words not to be heard, rename it to _unknown_",
    ]
    named = notes_on(DataFolder(folder), config(words=("red", "Noise")))
    assert [note for note in named if "is used as" in note] == [notes[1]]


def test_a_special_folder_without_a_class_is_said(folder: Path, save_wav: SaveWav) -> None:
    fill(folder, "_unknown_", "train", 12, save_wav)
    fill(folder, "_unknown_", "validation", 2, save_wav)
    (note,) = notes_on(DataFolder(folder), config(words=("red", "green")))
    assert note == "_unknown_ is not used, since [data] unknown_share is 0"
    assert not notes_on(DataFolder(folder), config(words=("red", "green"), unknown_share=1.0))


def test_words_are_found_however_their_letters_are_composed(tmp_path: Path, save_wav: SaveWav) -> None:
    for word in ("scho\u0308n", "no"):
        for part in ("train", "validation"):
            fill(tmp_path, word, part, 12, save_wav)
    train, _ = load_clips(DataFolder(tmp_path), config(words=("no", "sch\u00f6n")))
    other, _ = load_clips(DataFolder(tmp_path), config(words=("no", "scho\u0308n")))
    assert train.labels == other.labels == ("no", "sch\u00f6n")
    assert train.counts == other.counts


def test_one_persons_recordings_are_trained_on(tmp_path: Path, save_wav: SaveWav) -> None:
    for word in ("red", "blue"):
        for k in range(14):
            save_wav(tmp_path / word / f"ann_nohash_{k}.wav", np.full(1_600, 100 + k, np.int16), 16_000)
    train, validation = load_clips(DataFolder(tmp_path), config())
    assert train.counts == {"blue": 12, "red": 12}
    assert validation.counts == {"blue": 1, "red": 1}
    (note,) = notes_on(DataFolder(tmp_path), config())
    assert "1 speaker, ann: split by recording, so the figures will be of known voices" in note
