"""Sound files: converted with a filter, bit by bit where nothing has to be, refused where something is wrong."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.errors import RecordingError

RATE_HZ = 16_000


def tone(frequency_hz: float, rate_hz: int, *, seconds: float = 1.0, level: float = 0.5) -> NDArray[np.float64]:
    return level * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def decibels(samples: NDArray[np.int16]) -> float:
    """RMS of the middle, away from where the filter meets the ends, in dBFS."""
    middle = samples[len(samples) // 4 : -len(samples) // 4] / 32768
    return float(10 * np.log10(np.mean(middle**2) + 1e-20))


def noise(samples: int = RATE_HZ) -> NDArray[np.int16]:
    return np.random.default_rng(1).integers(-32768, 32768, samples).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 22_050])
def test_what_is_above_half_the_rate_vanishes(tmp_path: Path, rate_hz: int) -> None:
    # Every third sample, or an interpolation, would fold 9 kHz to 7 kHz.
    high = tone(9_000, rate_hz)
    soundfile.write(tmp_path / "x.wav", np.stack([high, high], axis=1), rate_hz, subtype="FLOAT")
    assert decibels(read_sound(tmp_path / "x.wav", RATE_HZ)) < -90


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_keeps_level_and_length(tmp_path: Path, rate_hz: int, channels: int) -> None:
    sound = np.stack([tone(1_000, rate_hz)] * channels, axis=1)
    soundfile.write(tmp_path / "x.wav", sound, rate_hz, subtype="FLOAT")
    read = read_sound(tmp_path / "x.wav", RATE_HZ)
    assert read.dtype == np.int16
    assert read.shape == (RATE_HZ,)
    assert abs(decibels(read) - decibels(np.rint(tone(1_000, RATE_HZ) * 32768).astype(np.int16))) < 0.1
    assert abs(int(np.argmax(np.abs(np.fft.rfft(read)))) - 1_000) <= 1


def test_sixteen_bits_come_bit_by_bit(tmp_path: Path) -> None:
    for name in ("x.wav", "x.flac"):
        soundfile.write(tmp_path / name, noise(), RATE_HZ, subtype="PCM_16")
        np.testing.assert_array_equal(read_sound(tmp_path / name, RATE_HZ), noise())


def test_standard_library_agrees(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(noise().tobytes())
    np.testing.assert_array_equal(read_sound(tmp_path / "x.wav", RATE_HZ), noise())


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([[100, 300], [-4, 1]], np.int16), RATE_HZ)
    # (-4 + 1) / 2 = -1.5, and halves go to the even neighbour.
    assert read_sound(tmp_path / "x.wav", RATE_HZ).tolist() == [200, -2]


def test_other_widths(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "8.wav", np.array([-1.0, 0.0, 0.5]), RATE_HZ, subtype="PCM_U8")
    assert read_sound(tmp_path / "8.wav", RATE_HZ).tolist() == [-32768, 0, 16384]
    steps = np.array([-(2**23), 100 * 256, 100 * 256 + 127, 100 * 256 + 129, 2**23 - 1])  # of 24 bits
    soundfile.write(tmp_path / "24.wav", (steps * 256).astype(np.int32), RATE_HZ, subtype="PCM_24")
    # Rounded, not cut off; and the highest saturates where a cast would wrap.
    assert read_sound(tmp_path / "24.wav", RATE_HZ).tolist() == [-32768, 100, 100, 101, 32767]
    soundfile.write(tmp_path / "float.wav", np.array([1.5, -1.5, 1.0, 0.25]), RATE_HZ, subtype="FLOAT")
    assert read_sound(tmp_path / "float.wav", RATE_HZ).tolist() == [32767, -32768, 32767, 8192]


@pytest.mark.parametrize(
    ("name", "kind", "subtype"),
    [("x.ogg", "OGG", "VORBIS"), ("x.opus", "OGG", "OPUS"), ("x.mp3", "MP3", None), ("x.au", "AU", "PCM_16")],
)
def test_other_formats(tmp_path: Path, name: str, kind: str, subtype: str | None) -> None:
    soundfile.write(tmp_path / name, tone(1_000, 48_000), 48_000, format=kind, subtype=subtype)
    read = read_sound(tmp_path / name, RATE_HZ)
    assert abs(len(read) - RATE_HZ) < 100
    assert abs(decibels(read) - decibels(np.rint(tone(1_000, RATE_HZ) * 32768).astype(np.int16))) < 0.5


@pytest.mark.parametrize("name", ["x.wav", "x.aiff"])
@pytest.mark.parametrize("missing", [1, 2, 20_000])
def test_truncated(tmp_path: Path, name: str, missing: int) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(), RATE_HZ)
    whole = path.read_bytes()
    path.write_bytes(whole[:-missing])
    with pytest.raises(RecordingError, match=f"truncated, its header promises {missing} bytes more") as caught:
        read_sound(path, RATE_HZ)
    assert caught.value.fault == "truncated"


def test_chunks_before_and_after_the_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(100), RATE_HZ)
    whole = (tmp_path / "x.wav").read_bytes()
    # An odd chunk is padded to an even length.
    extra = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    body = whole[12:36] + extra + whole[36:] + extra
    (tmp_path / "x.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    np.testing.assert_array_equal(read_sound(tmp_path / "x.wav", RATE_HZ), noise(100))


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_F000])
def test_length_unknown_when_it_was_written(tmp_path: Path, size: int) -> None:
    # ffmpeg and sox cannot go back to the header of what they write into a pipe.
    soundfile.write(tmp_path / "x.wav", noise(100), RATE_HZ)
    whole = bytearray((tmp_path / "x.wav").read_bytes())
    whole[40:44] = struct.pack("<I", size)
    (tmp_path / "x.wav").write_bytes(whole)
    np.testing.assert_array_equal(read_sound(tmp_path / "x.wav", RATE_HZ), noise(100))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path: Path, bad: float) -> None:
    sound = tone(440, RATE_HZ)
    sound[5_000] = bad
    soundfile.write(tmp_path / "x.wav", sound, RATE_HZ, subtype="FLOAT")
    with pytest.raises(RecordingError, match="NaN or infinite") as caught:
        read_sound(tmp_path / "x.wav", RATE_HZ)
    assert caught.value.fault == "corrupt"


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        (b"", "empty"),
        (b"this is text, not sound\n" * 50, "not sound"),
        (b"RIFF", "not sound"),
        (bytes(999), "not sound"),
    ],
)
def test_no_sound_file(tmp_path: Path, contents: bytes, fault: str) -> None:
    (tmp_path / "x.wav").write_bytes(contents)
    with pytest.raises(RecordingError, match=str(tmp_path / "x.wav")) as caught:
        read_sound(tmp_path / "x.wav", RATE_HZ)
    assert caught.value.fault == fault
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_file_is_noticed(tmp_path: Path) -> None:
    for name, subtype in (("x.wav", "PCM_16"), ("y.wav", "FLOAT"), ("x.flac", "PCM_16")):
        soundfile.write(tmp_path / name, noise(400) / 65536, RATE_HZ, subtype=subtype)
        whole = (tmp_path / name).read_bytes()
        end = len(whole)
        if subtype == "FLOAT":  # what follows the sound chunk may be missing
            end = whole.index(b"data") + 8 + 1600
        for keep in range(0, end, 7):
            (tmp_path / name).write_bytes(whole[:keep])
            with pytest.raises(RecordingError):
                read_sound(tmp_path / name, RATE_HZ)


def test_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.empty(0, np.int16), RATE_HZ)
    with pytest.raises(RecordingError, match="no samples") as caught:
        read_sound(tmp_path / "x.wav", RATE_HZ)
    assert caught.value.fault == "empty"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read_sound(tmp_path / "none.wav", RATE_HZ)
    with pytest.raises(RecordingError, match="Is a directory"):
        read_sound(tmp_path, RATE_HZ)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = Path(str(tmp_path) + "/\udcff.wav")
    soundfile.write(tmp_path / "x.wav", noise(10), RATE_HZ)
    (tmp_path / "x.wav").rename(path)
    np.testing.assert_array_equal(read_sound(path, RATE_HZ), noise(10))


@given(arrays(np.int16, st.integers(0, 60)), st.integers(1, 60))
def test_fit_length(samples: NDArray[np.int16], length: int) -> None:
    fitted = fit_length(samples, length)
    assert fitted.shape == (length,)
    assert fitted.dtype == np.int16
    spare = length - len(samples)
    if spare >= 0:
        np.testing.assert_array_equal(fitted, [0] * (spare // 2) + samples.tolist() + [0] * (spare - spare // 2))
    else:
        # The plain way, in Python's unbounded integers.
        energies = [sum(int(x) ** 2 for x in samples[i : i + length]) for i in range(1 - spare)]
        start = energies.index(max(energies))
        np.testing.assert_array_equal(fitted, samples[start : start + length])


def test_fit_length_of_a_loud_minute() -> None:
    # Squares of full scale would overflow 32 bits at the third sample.
    sound = np.zeros(60 * RATE_HZ, np.int16)
    sound[40 * RATE_HZ : 41 * RATE_HZ] = -32768
    np.testing.assert_array_equal(fit_length(sound, RATE_HZ), np.full(RATE_HZ, -32768, np.int16))
