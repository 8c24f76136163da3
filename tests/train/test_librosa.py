"""The features against librosa's, on sound of every kind."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.features.mfcc import mel_filters, mfcc
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.model.golden import synthetic_sound

SPECS = [
    FeatureSpec(),
    FeatureSpec(coefficients=10),
    FeatureSpec(coefficients=40),
    FeatureSpec(window_ms=32, hop_ms=10, mel_bands=64, coefficients=13, low_hz=0, high_hz=8000, log_floor=1e-10),
    FeatureSpec(sample_rate_hz=8000, high_hz=4000, mel_bands=26, coefficients=13),
]


def by_librosa(samples: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=samples / 32768.0,
        sr=spec.sample_rate_hz,
        n_fft=spec.window_samples,
        hop_length=spec.hop_samples,
        center=False,
        n_mels=spec.mel_bands,
        fmin=spec.low_hz,
        fmax=spec.high_hz,
    )
    decibels = librosa.power_to_db(mel, ref=1.0, amin=spec.log_floor, top_db=None)
    if spec.kind == "log-mel":
        return decibels.T
    return librosa.feature.mfcc(S=decibels, n_mfcc=spec.coefficients).T


@pytest.mark.parametrize("spec", [*SPECS, FeatureSpec(coefficients=40, kind="log-mel")])
def test_equals_librosa_on_every_kind_of_sound(spec):
    for sound in synthetic_sound(16_000):
        ours = mfcc(sound, spec)
        assert ours.dtype == np.float32
        assert ours.shape == (spec.frames_in(16_000), spec.coefficients)
        np.testing.assert_allclose(ours, by_librosa(sound, spec), rtol=0, atol=2e-4)


def test_equals_librosa_on_real_clips(recordings):
    folder = DataFolder(recordings / "speech_commands")
    spec = FeatureSpec(coefficients=40)
    for clip in folder.clips("validation")[::37]:
        sound = fit_length(read_sound(clip.path, 16_000), 16_000)
        np.testing.assert_allclose(mfcc(sound, spec), by_librosa(sound, spec), rtol=0, atol=2e-4)


@pytest.mark.parametrize("spec", SPECS)
def test_mel_filters_are_librosas(spec):
    theirs = librosa.filters.mel(
        sr=spec.sample_rate_hz,
        n_fft=spec.window_samples,
        n_mels=spec.mel_bands,
        fmin=spec.low_hz,
        fmax=spec.high_hz,
        dtype=np.float64,
    )
    np.testing.assert_allclose(mel_filters(spec), theirs, rtol=0, atol=1e-12)
