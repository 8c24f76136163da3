"""Where sound comes from: files, raw bytes; and what is wrong with them."""

from __future__ import annotations

import io
import subprocess
import sys
import wave

import numpy as np
import pytest
import soundfile

from kwspot.runtime.audio.sources import raw_blocks, wav_blocks
from kwspot.runtime.errors import AudioFormatError, RecordingError

SOUND = np.random.default_rng(0).integers(-32768, 32767, 5_000).astype(np.int16)


def write_wav(path, sound=SOUND, rate=16_000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())
    return path


@pytest.mark.parametrize("block_samples", [1, 1280, 10_000])
def test_a_wav_comes_bit_by_bit(tmp_path, block_samples):
    blocks = list(wav_blocks(write_wav(tmp_path / "a.wav"), block_samples=block_samples))
    assert all(block.dtype == np.int16 and len(block) <= block_samples for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), SOUND)


def test_other_formats_are_converted(tmp_path):
    soundfile.write(tmp_path / "a.flac", SOUND, 16_000)
    np.testing.assert_array_equal(np.concatenate(list(wav_blocks(tmp_path / "a.flac"))), SOUND)
    time = np.arange(48_000) / 48_000
    stereo = np.stack([0.5 * np.sin(2 * np.pi * 1000 * time)] * 2, axis=1)
    soundfile.write(tmp_path / "b.wav", stereo, 48_000, subtype="FLOAT")
    converted = np.concatenate(list(wav_blocks(tmp_path / "b.wav")))
    assert len(converted) == 16_000
    expected = 0.5 * 32768 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(converted[1000:-1000], expected[1000:-1000], atol=20)


def test_without_the_extra_a_native_wav_is_read_and_another_says_what_to_install(tmp_path):
    write_wav(tmp_path / "native.wav")
    write_wav(tmp_path / "other.wav", rate=44_100)
    code = (
        "import sys\nsys.modules['soundfile'] = sys.modules['soxr'] = None\n"
        "from kwspot.runtime import wav_blocks, KwspotError\n"
        f"print(sum(map(len, wav_blocks({str(tmp_path / 'native.wav')!r}))))\n"
        f"try: list(wav_blocks({str(tmp_path / 'other.wav')!r}))\n"
        "except KwspotError as error: print(error)"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert seen[0] == "5000"
    assert "other.wav: the sound is of 44100 Hz and this bundle hears 16000 Hz" in seen[1]
    assert "pip install 'kwspot[files]'" in seen[1]


def test_a_truncated_wav_is_an_error_after_its_sound(tmp_path):
    path = write_wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:-2001])
    heard = []
    with pytest.raises(RecordingError, match="truncated, its header promises 2001 bytes more"):
        heard.extend(wav_blocks(path))
    np.testing.assert_array_equal(np.concatenate(heard), SOUND[:3999])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.wav", None, "No such file"),
        ("empty.wav", b"", "is empty"),
        ("text.wav", b"this is no sound at all, it is a text", "cannot be read as sound"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=says):
        list(wav_blocks(tmp_path / name))
    with pytest.raises(RecordingError, match="Is a directory"):
        list(wav_blocks(tmp_path))


class Dribble(io.RawIOBase):
    """Gives a few bytes at a time, odd numbers of them too, as a pipe may."""

    def __init__(self, content: bytes) -> None:
        self.content, self.sizes = content, np.random.default_rng(1)

    def read(self, size: int = -1) -> bytes:
        step = int(self.sizes.integers(1, max(2, min(size, 700))))
        head, self.content = self.content[:step], self.content[step:]
        return head


def test_raw_sound_survives_any_dribble():
    blocks = list(raw_blocks(Dribble(SOUND.tobytes())))
    np.testing.assert_array_equal(np.concatenate(blocks), SOUND)


def test_half_a_sample_at_the_end_is_an_error():
    with pytest.raises(AudioFormatError, match="middle of a 16-bit sample"):
        list(raw_blocks(io.BytesIO(SOUND.tobytes()[:-1])))
