"""One long sound file of single clips, with pauses between them: a stream to listen to where there is no microphone.

python examples/stream.py DATA FILE.wav [WORD ...]      prints which word lies where
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound

RATE_HZ = 16_000
CLIPS = 15


def stream_of_clips(
    data: Path, count: int, words: Sequence[str] | None = None
) -> tuple[NDArray[np.int16], list[tuple[float, str]]]:
    """Clips of voices that training never heard, half a second to a second and a half apart, and where each ends.

    They are of the test part, or of the validation part where there is no test part. Returns int16 (n,), and of each
    clip its end in seconds and its word.
    """
    rng = np.random.default_rng(7)
    folder = DataFolder(data)
    clips = folder.clips("test", words) or folder.clips("validation", words)
    blocks: list[NDArray[np.int16]] = []
    ends, samples = [], 0
    for clip in rng.choice(np.array(clips, dtype=object), min(count, len(clips)), replace=False):
        pause = np.rint(rng.normal(0, 10, rng.integers(RATE_HZ // 2, 3 * RATE_HZ // 2))).astype(np.int16)
        blocks += [pause, read_sound(clip.path, RATE_HZ)]
        samples += sum(map(len, blocks[-2:]))
        ends.append((samples / RATE_HZ, clip.word))
    return np.concatenate([*blocks, np.zeros(RATE_HZ, np.int16)]), ends


def main(data: Path, target: Path, words: Sequence[str]) -> None:
    """Write the file and say what is in it."""
    sound, ends = stream_of_clips(data, CLIPS, words or None)
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(sound.astype("<i2").tobytes())
    for end_s, word in ends:
        print(f"{end_s - 1:6.1f} to {end_s:5.1f} s  {word}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
