"""A microphone that does 48 kHz and nothing else: a real JACK server, which PortAudio sees as such."""

from __future__ import annotations

import numpy as np
import pytest
from virtual_microphone import RATE_HZ, Jack, Listener

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound

JACK_RATE_HZ = 48_000


@pytest.fixture
def jack(tmp_path):
    server = Jack(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def words(tone_folder) -> np.ndarray:
    """A word every second and a half, at 48 kHz."""
    import soxr

    clips = DataFolder(tone_folder).clips("test", ["low", "high"])
    pause = np.zeros(RATE_HZ // 2, np.int16)
    parts = [part for clip in clips[:: len(clips) // 6] for part in (pause, read_sound(clip.path, RATE_HZ))]
    sound = soxr.resample(np.concatenate(parts).astype(float), RATE_HZ, JACK_RATE_HZ, quality="VHQ")
    return np.rint(sound).clip(-32_768, 32_767).astype(np.int16)


def test_a_device_of_48_khz_is_resampled_and_survives_the_death_of_its_server(tiny_bundle, jack, words):
    listener = Listener(tiny_bundle.path, jack.settings, "--device", "system")
    try:
        listener.wait_for("start")
        jack.wait_for_listener()
        jack.play(words)
        listener.wait_for("detection", 3)
        assert {event["label"] for event in listener.all("detection")} <= set(tiny_bundle.manifest.words)

        jack.kill()  # PortAudio says nothing: the callback just never comes again
        assert listener.wait_for("device_lost")["reason"] in ("no sound for 3 s", "PortAudio ended the stream")
        jack.start()
        back = listener.wait_for("device_back")
        assert listener.wait_for("gap")["lost_s"] == pytest.approx(back["away_s"], abs=0.2)
        jack.play(words)
        listener.wait_for_detection_after("device_back")
        listener.stop()
    finally:
        listener.kill()
