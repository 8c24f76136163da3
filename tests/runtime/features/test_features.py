"""The features: slicing changes nothing, to the last bit; tests/train/test_librosa.py judges their values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwspot.runtime.errors import AudioFormatError, ConfigError
from kwspot.runtime.features.mfcc import StreamingMfcc, mfcc
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.model.bundle import load_bundle, shipped_bundles
from kwspot.runtime.model.golden import GoldenVectors, synthetic_sound
from kwspot.runtime.model.manifest_check import read_as

SPECS = [
    FeatureSpec(),
    FeatureSpec(coefficients=10),
    FeatureSpec(coefficients=40),
    FeatureSpec(window_ms=32, hop_ms=10, mel_bands=64, coefficients=13, low_hz=0, high_hz=8000, log_floor=1e-10),
    FeatureSpec(sample_rate_hz=8000, high_hz=4000, mel_bands=26, coefficients=13),
]


@settings(deadline=None, max_examples=60)
@given(cuts=st.lists(st.integers(0, 6000), max_size=12), seed=st.integers(0, 2**32 - 1), quiet=st.booleans())
def test_any_slicing_gives_the_same_bits(cuts, seed, quiet):
    spec = SPECS[seed % 3]
    rng = np.random.default_rng(seed)
    sound = (rng.standard_normal(6000) * (3 if quiet else 9000)).clip(-32768, 32767).astype(np.int16)
    stream = StreamingMfcc(spec)
    frames = [stream.push(block) for block in np.split(sound, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(frames), mfcc(sound, spec))


@pytest.mark.parametrize("block_samples", [1, 319, 320, 321, 4096])
def test_block_sizes_give_the_same_bits(block_samples):
    spec = FeatureSpec()
    sound = synthetic_sound(8_000).reshape(-1)
    stream = StreamingMfcc(spec)
    frames = [stream.push(sound[i : i + block_samples]) for i in range(0, len(sound), block_samples)]
    np.testing.assert_array_equal(np.concatenate(frames), mfcc(sound, spec))


@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=12), group=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_groups_come_whole_and_are_the_same_bits(cuts, group, seed):
    spec = FeatureSpec(coefficients=40, kind="log-mel")
    sound = np.random.default_rng(seed).integers(-9000, 9000, 20_000, np.int16)
    stream = StreamingMfcc(spec, group=group)
    pushed = [stream.push(block) for block in np.split(sound, sorted(cuts))]
    assert all(len(frames) % group == 0 for frames in pushed)
    frames, whole = np.concatenate(pushed), mfcc(sound, spec)
    assert len(frames) == len(whole) // group * group
    np.testing.assert_array_equal(frames, whole[: len(frames)])


def test_what_was_pushed_out_is_never_written_again():
    stream = StreamingMfcc(FeatureSpec())
    rng = np.random.default_rng(4)
    frames = [stream.push(rng.integers(-9000, 9000, 1280, np.int16)) for _ in range(5)]
    before = [one.copy() for one in frames]
    stream.push(rng.integers(-9000, 9000, 9000, np.int16))
    for one, copy in zip(frames, before, strict=True):
        np.testing.assert_array_equal(one, copy)


def test_the_features_are_those_of_the_bundles_that_ship():
    """Computed once when a bundle was exported, by the version of that time, and kept in it."""
    for name in shipped_bundles():
        bundle = load_bundle(name)
        golden = GoldenVectors.of(bundle)
        for sound, frames in zip(golden.sound, golden.features, strict=True):
            np.testing.assert_allclose(mfcc(sound, bundle.manifest.features), frames, rtol=0, atol=5e-5)


def test_reset_forgets_and_a_reused_buffer_does_no_harm():
    spec = FeatureSpec()
    sound = synthetic_sound(16_000)[3]
    stream = StreamingMfcc(spec)
    stream.push(sound[:700])
    stream.reset()
    buffer = np.empty(500, np.int16)
    frames = []
    for start in range(0, 16_000, 500):
        buffer[:] = sound[start : start + 500]
        frames.append(stream.push(buffer))
    np.testing.assert_array_equal(np.concatenate(frames), mfcc(sound, spec))


def test_digital_silence_is_finite_and_constant():
    frames = mfcc(np.zeros(16_000, np.int16), FeatureSpec())
    assert np.isfinite(frames).all()
    assert (frames == frames[0]).all()


@pytest.mark.parametrize(
    "sound", [np.zeros(500, np.float32), np.zeros((2, 500), np.int16), np.zeros(500, np.int32), [0] * 500]
)
def test_other_types_of_sound_are_refused(sound):
    with pytest.raises(AudioFormatError, match="expected a numpy array of int16"):
        mfcc(sound, FeatureSpec())
    with pytest.raises(AudioFormatError):
        StreamingMfcc(FeatureSpec()).push(sound)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"hop_ms": 0}, "hop_ms"),
        ({"window_ms": 30.01}, "window_ms"),
        ({"coefficients": 41}, "coefficients"),
        ({"coefficients": 0}, "coefficients"),
        ({"high_hz": 9000}, "high_hz"),
        ({"low_hz": 7700}, "low_hz"),
        ({"log_floor": 0}, "log_floor"),
        ({"kind": "mfc"}, "kind"),
        ({"kind": "log-mel", "coefficients": 20}, "coefficients"),
        ({"hopms": 20}, "hopms"),
    ],
)
def test_a_bad_spec_is_named(values, names):
    with pytest.raises(ConfigError, match=names):
        read_as(FeatureSpec, values, "features")


@given(samples=st.integers(0, 100_000))
def test_lengths_fit_each_other(samples):
    spec = FeatureSpec()
    frames = spec.frames_in(samples)
    assert spec.samples_in(frames) <= samples or frames == 0
    assert spec.samples_in(frames + 1) > samples
