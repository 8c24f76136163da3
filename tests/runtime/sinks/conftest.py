"""Sound that the watchers see."""

from __future__ import annotations

import numpy as np
import pytest
from tones import RATE_HZ

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound


@pytest.fixture(scope="module")
def words(tone_folder) -> np.ndarray:
    clips = DataFolder(tone_folder).clips("test", ["low", "high"])
    pause = np.zeros(RATE_HZ // 2, np.int16)
    return np.concatenate([p for clip in clips[:: len(clips) // 6] for p in (pause, read_sound(clip.path, RATE_HZ))])
