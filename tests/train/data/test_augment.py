"""What each augmentation does to a signal, and the noise that is mixed in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kwspot.train.config.tables import AugmentConfig
from kwspot.train.data.augment import amplify, augment, mix, shift_by
from kwspot.train.data.noise import NoiseBank, made_noise, rms, split_by_time

RATE_HZ = 16_000
LENGTH = 4_000
SOUND = np.random.default_rng(1).normal(0, 2_000, LENGTH).astype(np.int16)
NOISE = NoiseBank(((np.random.default_rng(2).normal(0, 500, 9_000).astype(np.int16),),))


def draws(config: AugmentConfig, count: int = 40, sound: np.ndarray = SOUND) -> list[np.ndarray]:
    return [augment(sound, config, NOISE, RATE_HZ, np.random.default_rng(k)) for k in range(count)]


def power_db(samples: np.ndarray) -> float:
    return 20 * np.log10(rms(samples / 32_768))


def test_nothing_by_default_and_the_defaults_are_off() -> None:
    assert AugmentConfig().is_off
    for out in draws(AugmentConfig(), 3):
        assert out.dtype == np.int16
        np.testing.assert_array_equal(out, SOUND)


@pytest.mark.parametrize("shift", [0, 1, -1, 700, -700, LENGTH, -LENGTH])
def test_shifted(shift: int) -> None:
    out = shift_by(SOUND / 1.0, shift)
    for k in (0, 1, 699, 700, 701, LENGTH - 701, LENGTH - 1):
        assert out[k] == (SOUND[k - shift] if 0 <= k - shift < LENGTH else 0)


def test_time_shift_moves_to_both_sides_and_no_further() -> None:
    config = AugmentConfig(time_shift_ms=10)
    assert not config.is_off
    pulse = np.zeros(LENGTH, np.int16)
    pulse[2_000] = 9_000
    places = [int(out.argmax()) - 2_000 for out in draws(config, sound=pulse)]
    assert min(places) < -100
    assert max(places) > 100
    assert max(abs(place) for place in places) <= 160


def test_gain() -> None:
    np.testing.assert_allclose(amplify(SOUND / 1.0, 20.0), SOUND * 10.0)
    config = AugmentConfig(gain_db=(-12.0, -6.0))
    assert not config.is_off
    gains = [power_db(out) - power_db(SOUND) for out in draws(config)]
    assert min(gains) == pytest.approx(-12, abs=0.6)
    assert max(gains) == pytest.approx(-6, abs=0.6)
    assert all(-12.05 <= gain <= -5.95 for gain in gains)


def test_a_microphone_set_too_loud_cuts_off_what_is_above_full_scale() -> None:
    quiet = (SOUND // 50).astype(np.int16)
    config = AugmentConfig(overdrive_share=1.0, overdrive_db=(20.0, 20.0), gain_db=(-40.0, -40.0))
    (out,) = [augment(quiet, config, NOISE, RATE_HZ, np.random.default_rng(1))]
    loudest = int(np.abs(quiet.astype(int)).max())
    cut = np.abs(quiet.astype(int)) > loudest / 9.9
    assert np.isin(out[cut], [-32_768, 32_767]).all()
    assert (np.sign(out[cut]) == np.sign(quiet[cut])).all()
    kept = np.abs(quiet.astype(int)) < loudest / 10.1
    assert kept.any()
    np.testing.assert_allclose(out[kept], quiet[kept] * (327_680 / loudest), atol=1)
    silence = np.zeros(16_000, np.int16)
    np.testing.assert_array_equal(augment(silence, config, NOISE, RATE_HZ, np.random.default_rng(1)), silence)


def test_overdrive_comes_in_its_share_and_in_place_of_a_gain() -> None:
    outs = draws(AugmentConfig(overdrive_share=0.3, overdrive_db=(6.0, 6.0), gain_db=(-20.0, -20.0)), 200)
    overdriven = [np.abs(out.astype(int)).max() >= 32_767 for out in outs]
    assert 35 <= sum(overdriven) <= 85


def test_what_is_too_loud_saturates_and_does_not_wrap() -> None:
    out = draws(AugmentConfig(gain_db=(40.0, 40.0)), 1)[0]
    assert (np.sign(out[SOUND != 0]) == np.sign(SOUND[SOUND != 0])).all()
    assert out.max() == 32_767
    assert out.min() == -32_768


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.0])
def test_mixed_has_the_ratio_that_was_asked(snr_db: float) -> None:
    sound, noise = SOUND / 32_768, NOISE.kinds[0][0][:LENGTH] / 32_768
    added = mix(sound, noise, snr_db) - sound
    assert 20 * np.log10(rms(sound) / rms(added)) == pytest.approx(snr_db)


def test_mixing_with_silence_changes_nothing() -> None:
    zeros = np.zeros(LENGTH)
    np.testing.assert_array_equal(mix(zeros, SOUND / 1.0, 0.0), zeros)
    np.testing.assert_array_equal(mix(SOUND / 1.0, zeros, 0.0), SOUND)


def test_noise_share_and_ratio() -> None:
    config = AugmentConfig(noise_share=0.5, noise_snr_db=(3.0, 9.0))
    assert not config.is_off
    added = [out.astype(int) - SOUND for out in draws(config, 200)]
    ratios = [power_db(SOUND) - power_db(noise) for noise in added if noise.any()]
    assert 70 <= len(ratios) <= 130
    assert all(2.9 <= ratio <= 9.1 for ratio in ratios)
    assert max(ratios) - min(ratios) > 4
    assert all(np.array_equal(out, SOUND) for out in draws(dataclasses.replace(config, noise_share=0.0)))


def test_same_draw_same_sound() -> None:
    config = AugmentConfig(time_shift_ms=50, gain_db=(-6, 6), noise_share=0.8)
    first, second = draws(config, 5), draws(config, 5)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], first[1])


def test_noise_is_split_by_time() -> None:
    recording = np.arange(1, 1_001, dtype=np.int16)
    train, validation = split_by_time([[recording]])
    np.testing.assert_array_equal(train.kinds[0][0], recording[:800])
    np.testing.assert_array_equal(validation.kinds[0][0], recording[800:])


def test_a_crop_is_a_piece_of_the_noise_and_a_short_one_is_repeated() -> None:
    rng = np.random.default_rng(5)
    bank = NoiseBank(((np.arange(100, dtype=np.int16),),))
    starts = set()
    for _ in range(50):
        crop = bank.crop(rng, 90)
        np.testing.assert_array_equal(np.diff(crop), 1)
        starts.add(int(crop[0]))
    assert starts == set(range(11))
    np.testing.assert_array_equal(bank.crop(rng, 250), np.arange(250) % 100)


def test_silence_is_noise_of_many_levels_and_sometimes_zeros() -> None:
    rng = np.random.default_rng(6)
    pieces = [NOISE.silence(rng, LENGTH) for _ in range(300)]
    zeros = sum(not piece.any() for piece in pieces)
    levels = [power_db(piece) for piece in pieces if np.abs(piece).max() > 20]
    assert 15 <= zeros <= 100
    assert max(levels) < -5
    assert max(levels) - min(levels) > 30


@pytest.mark.parametrize(("place", "beta"), [(0, 0), (1, 1), (2, 2)])
def test_made_noise_falls_with_frequency_as_its_colour_says(place: int, beta: int) -> None:
    noise = made_noise(RATE_HZ, seed=1)[place]
    power = np.abs(np.fft.rfft(noise / 32_768)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    low, high = (power[(hz >= a) & (hz < 1.2 * a)].mean() for a in (200, 3_200))
    assert np.log2(low / high) / np.log2(16) == pytest.approx(beta, abs=0.15)
