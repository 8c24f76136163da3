"""What speed, microphone, room, masks and mixup do to a signal; and the sounds that are none of the words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime.audio.recordings import sounds_below
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.train.config.tables import AugmentConfig, UnknownConfig
from kwspot.train.data import augment as effects
from kwspot.train.data import cutting, negatives
from kwspot.train.data.held_out import Recordings
from kwspot.train.data.pipeline import mixed_up

RATE_HZ = 16_000
TIME_S = np.arange(RATE_HZ) / RATE_HZ


def tone(frequency_hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * TIME_S).astype(np.float32)


def peak_hz(sound: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * RATE_HZ / len(sound))


def word(frequency_hz: float, start_s: float, end_s: float, background: float = 5.0) -> np.ndarray:
    sound = np.random.default_rng(0).normal(0, background, RATE_HZ)
    inside = (start_s <= TIME_S) & (end_s > TIME_S)
    sound[inside] += 8_000 * tone(frequency_hz)[inside]
    return sound.astype(np.int16)


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.14])
def test_speed_moves_the_pitch_and_keeps_the_middle(factor):
    assert peak_hz(effects.change_speed(tone(500), factor)) == pytest.approx(500 * factor, abs=3)
    pulse = np.zeros(1_001, np.float32)
    pulse[500] = 1.0
    assert effects.change_speed(pulse, factor).argmax() == 500
    np.testing.assert_allclose(effects.change_speed(tone(500), 1.0), tone(500), atol=1e-6)


def test_the_equaliser_gives_each_band_its_gain_and_no_delay():
    gains_db = np.array([0.0, 0.0, -6.0, -6.0, 6.0, 0.0, 0.0, 0.0])
    for frequency, gain_db in ((600, -6.0), (1_600, 6.0), (5_600, 0.0)):
        out = effects.equalise(tone(frequency), gains_db, RATE_HZ)[2_000:-2_000]
        np.testing.assert_allclose(out, tone(frequency)[2_000:-2_000] * 10 ** (gain_db / 20), atol=0.02)


def test_a_room_keeps_the_direct_sound_and_decays_by_60_db():
    response = effects.room_response(RATE_HZ, 0.3, 0.1, np.random.default_rng(0))
    assert response[0] == 1.0
    energy_db = 10 * np.log10(np.convolve(response[1:] ** 2, np.ones(400) / 400, "valid"))
    assert energy_db[-1] - energy_db[0] == pytest.approx(-60 * (len(energy_db) / len(response)), abs=4)
    pulse = np.zeros(8_000, np.float32)
    pulse[100] = 1.0
    np.testing.assert_allclose(effects.convolve(pulse, response)[100 : 100 + 4_000], response[:4_000], atol=1e-6)


def test_masks_set_one_stretch_and_one_band_to_the_mean():
    config = AugmentConfig(mask_share=1.0, mask_frames=8, mask_bands=6)
    assert not config.is_off
    frames = np.ones((49, 40), np.float32)
    for seed in range(30):
        out = effects.mask_frames(frames, config, np.random.default_rng(seed))
        times, bands = (out == 0).all(axis=1).sum(), (out == 0).all(axis=0).sum()
        assert 1 <= times <= 8
        assert 1 <= bands <= 6
        assert (out == 0).sum() == times * 40 + bands * 49 - times * bands
    assert (frames == 1).all()
    np.testing.assert_array_equal(effects.mask_frames(frames, AugmentConfig(), np.random.default_rng(0)), frames)


def test_mixup_mixes_sound_and_label_alike():
    frames = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((1, 3, 2), np.float32)
    targets = np.eye(6, dtype=np.float32)
    out, mixed = mixed_up(frames, targets, AugmentConfig(mixup=1.0), np.random.default_rng(3))
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    assert (np.diag(mixed) >= 0.5).all()
    np.testing.assert_allclose(out[:, 0, 0], mixed @ np.arange(6), atol=1e-5)
    same, _ = mixed_up(frames, targets, AugmentConfig(), np.random.default_rng(3))
    assert same is frames


def test_the_extent_of_a_word():
    start, end = cutting.find_extent(word(500, 0.3, 0.7), RATE_HZ)
    assert start == pytest.approx(0.3 * RATE_HZ, abs=800)
    assert end == pytest.approx(0.7 * RATE_HZ, abs=800)
    assert cutting.find_extent(np.zeros(RATE_HZ, np.int16), RATE_HZ) == (0, RATE_HZ)


def test_a_splice_begins_as_one_word_and_ends_as_the_other():
    first, second = word(400, 0.2, 0.6), word(2_000, 0.4, 0.9)
    for seed in range(10):
        out = cutting.splice(first, second, RATE_HZ, np.random.default_rng(seed))
        assert out.dtype == np.int16
        assert out.shape == first.shape
        start, end = cutting.find_extent(out, RATE_HZ)
        assert peak_hz(out[start : start + 2_000]) == pytest.approx(400, abs=20)
        assert peak_hz(out[end - 2_000 : end]) == pytest.approx(2_000, abs=20)


def test_words_that_begin_or_end_alike_are_not_spliced():
    clips = np.stack([word(400, 0.2, 0.6), word(900, 0.2, 0.6), word(2_000, 0.2, 0.6)])
    with pytest.raises(ConfigError, match="begin or end alike"):
        negatives.splice_clips(clips[:2], ["go", "no"], 3, RATE_HZ, np.random.default_rng(0))
    made = negatives.splice_clips(clips, ["go", "no", "cat"], 12, RATE_HZ, np.random.default_rng(0))
    assert len(made) == 12
    for clip in made:  # go and no are never in one clip, so 2 kHz, the cat, is in each
        spectrum = np.abs(np.fft.rfft(clip))
        assert spectrum[1_950:2_050].max() > 0.2 * spectrum.max()


def test_running_speech_is_cut_into_pieces_without_pauses():
    rng = np.random.default_rng(0)
    words = [word(300 + 100 * k, 0.3, 0.7) for k in range(20)]
    pieces = cutting.cut_at_pauses(np.concatenate([*words, np.zeros(2 * RATE_HZ, np.int16)]), RATE_HZ, RATE_HZ, rng)
    assert 10 <= len(pieces) <= 40
    loud = [np.abs(piece.astype(int)).max() > 1_000 for piece in pieces]
    assert all(piece.shape == (RATE_HZ,) for piece in pieces)
    assert np.mean(loud) > 0.7  # the rest are edges of words
    pause = np.zeros(5 * RATE_HZ, np.int16)
    assert cutting.cut_at_pauses(pause, RATE_HZ, RATE_HZ, rng) == []


def test_windows_of_running_speech_are_cut_anywhere(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("short.wav", "long.wav", "longer.wav")]
    for path, seconds in zip(paths, (1, 4, 12), strict=True):
        counted = np.arange(seconds * RATE_HZ, dtype=np.int32) % 30_000
        write_wav(path, (counted if "er" in path.name else -counted).astype(np.int16), RATE_HZ)
    group = Recordings(tmp_path, tuple(paths))
    windows = negatives.cut_windows([group], 200, RATE_HZ, RATE_HZ, np.random.default_rng(1))
    assert len(windows) == 200
    for window in windows:
        assert window.shape == (RATE_HZ,)
        steps = np.diff(window.astype(np.int32))
        assert (np.abs(steps) != 1).sum() <= 1  # one stretch of one recording, but where the counting begins again
    from_longer = sum(int(window.max()) > 0 for window in windows)
    assert 120 < from_longer < 180
    assert (
        negatives.cut_windows([Recordings(tmp_path, tuple(paths[:1]))], 5, RATE_HZ, RATE_HZ, np.random.default_rng(1))
        == []
    )


def test_a_folder_without_speech_is_named(tmp_path):
    with pytest.raises(DataFolderError, match="holds no sound file"):
        sounds_below(tmp_path, "speech")


def test_words_that_sound_alike_are_left_out_of_the_vocabulary():
    assert negatives.choose_unlike(["know", "right", "house"], ["no", "write"]) == ["house"]
    vocabulary = negatives.read_vocabulary()
    assert len(vocabulary) == len(set(vocabulary)) > 400
    spoken = negatives.synthesise_clips(["house"], 2, 15_840, RATE_HZ, np.random.default_rng(0))
    assert all(clip.shape == (15_840,) and clip.any() for clip in spoken)
    with pytest.raises(ConfigError, match="16000 Hz"):
        negatives.synthesise_clips(["house"], 2, 8_000, 8_000, np.random.default_rng(0))


def test_bad_values_are_named():
    with pytest.raises(ConfigError, match=r"unknown\.spliced"):
        UnknownConfig(spliced=-1)
    with pytest.raises(ConfigError, match=r"augment\.room_share"):
        AugmentConfig(room_share=1.5)
