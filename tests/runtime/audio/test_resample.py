"""Resampling in blocks is resampling at once, and counts every sample."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hearing import blocks_of
from tones import RATE_HZ

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.resample import StreamResampler
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import AudioFormatError


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_resampling_in_blocks_is_resampling_at_once_and_counts_every_sample(rate_hz):
    import soxr

    rng = np.random.default_rng(1)
    sound = np.cumsum(rng.normal(0, 50, 5 * rate_hz)) % 8_000 - 4_000
    sound = sound.astype(np.int16)
    resampler = StreamResampler(rate_hz, RATE_HZ)
    whole = soxr.resample(sound / 32_768, rate_hz, RATE_HZ, quality="HQ") * 32_768
    given = [resampler.push(block) for block in blocks_of(sound, rate_hz * 80 // 1000)]
    tail, lost = resampler.skip(12_345)
    out = np.concatenate([*given, tail])
    assert abs(len(out) - len(whole)) <= 1
    size = min(len(out), len(whole))
    assert np.abs(out[:size] - whole[:size]).max() <= 1
    assert len(out) + lost == round((len(sound) + 12_345) * RATE_HZ / rate_hz)
    again = np.concatenate([*(resampler.push(block) for block in blocks_of(sound, 999)), resampler.skip(0)[0]])
    assert abs(len(again) - len(whole)) <= 1


def test_without_soxr_a_device_of_another_rate_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    StreamResampler(RATE_HZ, RATE_HZ)
    with pytest.raises(AudioFormatError, match=r"48000 Hz .* 16000 Hz; .* pip install 'kwspot\[files\]'"):
        StreamResampler(48_000, RATE_HZ)


def test_real_clips_at_48_khz_give_the_labels_of_the_original_within_one_hop(recordings):
    import soxr

    from kwspot.runtime.model.bundle import load_bundle

    bundle = load_bundle("tutorial")
    clips = DataFolder(recordings / "speech_commands").clips("validation", ["bed", "cat", "happy"])[::12][:30]
    pause = np.zeros(RATE_HZ // 2, np.int16)
    sound = np.concatenate([part for clip in clips for part in (pause, read_sound(clip.path, RATE_HZ))])
    copy = np.rint(soxr.resample(sound.astype(float), RATE_HZ, 48_000, quality="VHQ")).clip(-32_768, 32_767)
    resampler = StreamResampler(48_000, RATE_HZ)
    heard = np.concatenate([resampler.push(block) for block in blocks_of(copy.astype(np.int16), 3840)])
    ours, theirs = KeywordSpotter(bundle).push(sound), KeywordSpotter(bundle).push(heard)
    assert [detection.label for detection in theirs] == [detection.label for detection in ours]
    assert len(ours) >= 20
    hop = bundle.manifest.inference_hop_samples
    assert all(abs(a.at_sample - b.at_sample) <= hop for a, b in zip(ours, theirs, strict=True))
