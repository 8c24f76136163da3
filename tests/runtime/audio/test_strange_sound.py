"""Sound files as strangers have them: headers that lie, codecs that cannot be sought in, pipes, long files, noise."""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kwspot.runtime.audio.file_formats import conversion_of, format_of
from kwspot.runtime.audio.recordings import DataFolder, sounds_below
from kwspot.runtime.audio.sound_file import open_sound, read_sound
from kwspot.runtime.audio.sources import raw_blocks, wav_blocks
from kwspot.runtime.errors import AudioFormatError, DataFolderError, KwspotError, RecordingError
from kwspot.runtime.features.level import ClippingCounter, to_int16

RATE_HZ = 16_000
SOUND = np.random.default_rng(2).integers(-20_000, 20_000, 8_001).astype(np.int16)
PCM = SOUND.astype("<i2").tobytes()


def chunk(name: bytes, content: bytes, *, size: int | None = None, pad: bool = True, order: str = "<") -> bytes:
    """A RIFF chunk, whose size need not be true."""
    head = name + struct.pack(f"{order}I", len(content) if size is None else size)
    return head + content + b"\0" * (pad and len(content) % 2)


def form(*, codec: int = 1, rate: int = RATE_HZ, channels: int = 1, bits: int = 16, order: str = "<") -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack(f"{order}HHIIHH", codec, channels, rate, rate * frame, frame, bits), order=order)


def save(path: Path, *chunks: bytes, magic: bytes = b"RIFF") -> Path:
    body = b"WAVE" + b"".join(chunks)
    path.write_bytes(magic + struct.pack("<I", len(body)) + body)
    return path


def heard(path: Path) -> np.ndarray:
    """What `listen` hears, which has to be what training reads."""
    blocks = list(wav_blocks(path))
    assert all(len(block) <= 1280 and block.dtype == np.int16 for block in blocks)
    whole = np.concatenate(blocks)
    np.testing.assert_array_equal(whole, read_sound(path, RATE_HZ))
    return whole


SIZES = [0, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FF00]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", [b"", chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0\0"), chunk(b"JUNK", bytes(28))])
def test_a_pipes_size_means_the_end_of_the_file(tmp_path, size, before, capsys):
    path = save(tmp_path / "a.wav", form(), before, chunk(b"data", PCM, size=size, pad=False))
    np.testing.assert_array_equal(heard(path), SOUND)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "GSM610"])
def test_a_pipes_size_of_other_codecs(tmp_path, size, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, SOUND / 65_536, RATE_HZ, subtype=subtype)
    expected = read_sound(path, RATE_HZ)
    content = bytearray(path.read_bytes())
    at = content.index(b"data")
    end = at + 8 + struct.unpack("<I", content[at + 4 : at + 8])[0]
    content[at + 4 : at + 8] = struct.pack("<I", size)
    path.write_bytes(content[:end])
    np.testing.assert_array_equal(heard(path), expected)
    assert len(expected) >= len(SOUND)


@pytest.mark.parametrize(
    ("subtype", "error"), [("PCM_U8", 2**-7), ("PCM_24", 0), ("PCM_32", 0), ("FLOAT", 0), ("DOUBLE", 0), ("PCM_16", 0)]
)
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "endian"), [("WAV", "LITTLE"), ("WAV", "BIG"), ("WAVEX", "LITTLE"), ("RF64", "LITTLE")]
)
def test_pcm_and_floats_are_read_as_libsndfile_reads_them(tmp_path, subtype, error, endian, channels, kind):
    level = np.random.default_rng(3).integers(-30_000, 30_000, (3001, channels)) / 32_768
    path = tmp_path / "a.wav"
    soundfile.write(path, level, 48_000, subtype=subtype, endian=endian, format=kind)
    with open_sound(path) as sound:
        assert (sound.rate_hz, sound.channels) == (48_000, channels)
        frames = np.concatenate(list(sound.blocks()))
    assert frames.dtype == (np.int16 if subtype == "PCM_16" else np.float64)
    judge, _ = soundfile.read(path, dtype=frames.dtype.name, always_2d=True)
    np.testing.assert_array_equal(frames, judge)
    assert np.abs(frames / (32_768 if subtype == "PCM_16" else 1) - level).max() <= error + 2**-31


def test_sound_behind_a_wrapped_size_is_heard_and_said(tmp_path, capsys):
    path = save(tmp_path / "a.wav", form(), chunk(b"data", PCM, size=4000, pad=False))
    assert len(list(wav_blocks(path))) == -(-len(SOUND) // 1280)
    assert capsys.readouterr().err.count("\n") == 1
    np.testing.assert_array_equal(read_sound(path, RATE_HZ), SOUND)
    with open_sound(path) as sound:
        list(sound.blocks())
        assert f"{len(PCM) - 4000} bytes behind" in sound.notice


@pytest.mark.parametrize(
    "behind",
    [b"", chunk(b"LIST", b"INFO"), chunk(b"mine", b"any chunk"), b"TAG" + bytes(125), b"\0", b"LIST\xff\xff\0\0a"],
)
@pytest.mark.parametrize("samples", [8000, 8001])
def test_what_stands_behind_the_sound_and_is_none_is_not_heard(tmp_path, behind, samples, capsys):
    path = save(tmp_path / "a.wav", form(), chunk(b"data", PCM[: 2 * samples]), behind)
    np.testing.assert_array_equal(heard(path), SOUND[:samples])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("odd", [chunk(b"odd ", b"123", pad=False), chunk(b"LIST", b"INFOx", pad=False)])
def test_a_missing_pad_byte_is_passed_over(tmp_path, odd):
    np.testing.assert_array_equal(heard(save(tmp_path / "a.wav", odd, form(), odd, chunk(b"data", PCM))), SOUND)


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([chunk(b"LIST", b"INFO", size=0xFFFF_FFF0), chunk(b"data", PCM)], "'LIST' promises 4294967280 bytes"),
        ([chunk(b"data", PCM)], "no format"),
        ([chunk(b"fmt ", b"\1\0"), chunk(b"data", PCM)], "no format"),
        ([form()], "ends before its sound"),
        ([form(rate=1), chunk(b"data", PCM)], "rate of 1 Hz"),
        ([form(rate=3999), chunk(b"data", PCM)], "rate of 3999 Hz"),
        ([form(rate=384_001), chunk(b"data", PCM)], "rate of 384001 Hz"),
        ([form(rate=0), chunk(b"data", PCM)], "rate of 0 Hz"),
        ([form(channels=0), chunk(b"data", PCM)], "cannot be read|0 channels"),
        ([form(channels=65_535, bits=8), chunk(b"data", PCM)], "cannot be read|65535 channels"),
        ([form(bits=0), chunk(b"data", PCM)], "cannot be read"),
        ([form(codec=0x7777), chunk(b"data", PCM)], "cannot be read"),
        ([form(codec=0xFFFE), chunk(b"data", PCM)], "cannot be read"),
    ],
)
def test_a_header_that_is_wrong_is_told(tmp_path, chunks, says):
    path = save(tmp_path / "a.wav", *chunks)
    with pytest.raises(RecordingError, match=says) as caught:
        list(wav_blocks(path))
    assert caught.value.fault == "corrupt"
    assert "\n" not in str(caught.value)


UNSEEKABLE = [
    ("WAV", "GSM610"),
    ("WAV", "G721_32"),
    ("WAV", "NMS_ADPCM_16"),
    ("WAV", "NMS_ADPCM_32"),
    ("AU", "G723_24"),
]


@pytest.mark.parametrize(("kind", "subtype"), [*UNSEEKABLE, ("AIFF", "GSM610"), ("W64", "GSM610"), ("XI", "DPCM_16")])
def test_a_codec_that_cannot_be_sought_in_is_heard_whole(tmp_path, kind, subtype):
    path, level = tmp_path / "sound", np.sin(np.arange(16_000) / 20) / 2
    soundfile.write(path, level, RATE_HZ, format=kind, subtype=subtype)
    with open_sound(path) as sound:
        count = sum(map(len, sound.blocks()))
    assert 16_000 <= count < 16_700
    assert len(read_sound(path, RATE_HZ)) > 5_000  # XI keeps no rate


def test_a_flac_file_that_lies_or_does_not_know_its_length(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, SOUND, RATE_HZ)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # as written into a pipe
    path.write_bytes(content)
    np.testing.assert_array_equal(heard(path), SOUND)
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(RecordingError):
        read_sound(path, RATE_HZ)


@pytest.mark.parametrize("kind", ["au", "aiff", "caf", "w64", "rf64", "wav"])
def test_a_truncated_file_is_heard_to_its_end_then_told(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, SOUND[:8000], RATE_HZ, format=kind.upper(), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-1000])
    found = []
    with pytest.raises(RecordingError, match="promises 1000 bytes more"):
        found.extend(wav_blocks(path))
    sound = np.concatenate(found)
    assert 7496 <= len(sound) <= 7500  # libsndfile gives up 4 samples of CAF
    np.testing.assert_array_equal(sound, SOUND[: len(sound)])


def from_pipe(tmp_path: Path, content: bytes) -> np.ndarray:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError):
            pipe.write_bytes(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return np.concatenate(list(wav_blocks(pipe)))
    finally:
        writer.join(30)
        assert not writer.is_alive()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "PCM_24", "FLOAT"])
def test_a_named_pipe_is_opened_once_and_heard(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", SOUND / 32_768, 48_000, subtype=subtype)
    expected = read_sound(tmp_path / "a.wav", RATE_HZ)
    np.testing.assert_array_equal(from_pipe(tmp_path, (tmp_path / "a.wav").read_bytes()), expected)


def test_a_named_pipe_of_another_format_is_told(tmp_path):
    for name, subtype in (("a.flac", None), ("a.wav", "GSM610")):
        soundfile.write(tmp_path / name, SOUND / 32_768, RATE_HZ, subtype=subtype)
        with pytest.raises(RecordingError, match="is a pipe that holds no WAV of PCM"):
            from_pipe(tmp_path, (tmp_path / name).read_bytes())
        (tmp_path / "pipe").unlink()
    with pytest.raises(RecordingError, match="pipe or a device"):
        read_sound("/dev/zero", RATE_HZ)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordingError, match="pipe or a device"):
        read_sound(tmp_path / "pipe", RATE_HZ)  # a folder's file is not waited for


def test_each_file_of_several_is_heard_and_a_cut_ones_last_word_too(tiny_bundle, tmp_path, capfd):
    from kwspot.runtime.cli import main

    (tmp_path / "text.wav").write_text("not sound")
    cut = save(tmp_path / "cut.wav", form(), chunk(b"data", PCM[:-2001], size=len(PCM), pad=False))
    good = save(tmp_path / "good.wav", form(), chunk(b"data", PCM))
    files = [str(tmp_path / "text.wav"), str(cut), str(tmp_path / "none.wav"), str(good)]
    assert main(["listen", str(tiny_bundle.path), "--wav", *files]) == 2
    said = capfd.readouterr()
    assert said.out.count('"event": "stop"') == 4
    assert f'"source": "{good}", "samples": {len(SOUND)}' in said.out
    assert f'"source": "{cut}", "samples": {len(SOUND) - 1001}' in said.out
    for name, reason in (
        ("text.wav", "cannot be read as sound"),
        ("cut.wav", "truncated"),
        ("none.wav", "No such file"),
    ):
        assert any(name in line and reason in line for line in said.err.splitlines())


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.caf"])
def test_a_file_on_standard_input_is_refused(tmp_path, name):
    soundfile.write(tmp_path / name, SOUND / 32_768, RATE_HZ)
    content = (tmp_path / name).read_bytes()
    with pytest.raises(AudioFormatError, match="--wav FILE") as caught:
        list(raw_blocks(io.BytesIO(content)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x20ftypM4A ", b"\x1aE\xdf\xa3" + bytes(20), b"ID3\x04" + bytes(20), b"RIFX" + bytes(20), b"RIFF"]
)
def test_other_heads_on_standard_input_are_refused(head):
    with pytest.raises(AudioFormatError, match="a sound file"):
        list(raw_blocks(io.BytesIO(head)))


def test_raw_sound_is_taken_for_no_file():
    rng = np.random.default_rng(1)
    for _ in range(3000):
        sound = rng.integers(-(2 ** int(rng.integers(1, 16))), 2**15, 200).astype("<i2").tobytes()
        assert not format_of(sound)
        assert not format_of(b"\xff\xfb\x90\x64" + sound)
    for length in range(30):
        content = PCM[: 2 * length]
        for block_samples in (1, 3, 1280):
            blocks = list(raw_blocks(io.BytesIO(content), block_samples=block_samples))
            assert b"".join(block.tobytes() for block in blocks) == content


@pytest.mark.parametrize("head", [b"\0\0\0\x20ftypM4A ", b"\x1aE\xdf\xa3", b"#!AMR\n"])
def test_a_phones_recording_is_told_with_the_command_that_converts_it(tmp_path, head):
    (tmp_path / "p1.m4a").write_bytes(head + bytes(500))
    with pytest.raises(RecordingError, match=r"convert it first: ffmpeg -i p1.m4a -ar 16000 -ac 1 p1.wav"):
        read_sound(tmp_path / "p1.m4a", RATE_HZ)
    assert conversion_of("x.m4a") == "ffmpeg -i x.m4a -ar 16000 -ac 1 x.wav"


PHONE = b"\0\0\0\x20ftypM4A " + bytes(500)
CONVERTS = r"convert to WAV first: ffmpeg -i p0_nohash_0.m4a -ar 16000 -ac 1 p0_nohash_0.wav"


def phone_recordings(folder: Path, ending: str = "m4a") -> Path:
    folder.mkdir(parents=True)
    for person in range(3):
        (folder / f"p{person}_nohash_0.{ending}").write_bytes(PHONE)
    return folder


@pytest.mark.parametrize("ending", ["m4a", "M4A", "webm", "aac", "3gp", "wma", "amr"])
def test_a_data_folder_of_a_phones_recordings_is_told_how_to_convert_them(tmp_path, ending):
    phone_recordings(tmp_path / "yes", ending)
    with pytest.raises(DataFolderError, match=CONVERTS.replace("m4a", ending)) as caught:
        DataFolder(tmp_path)
    assert "3 files, such as yes/p0_nohash_0" in str(caught.value)
    with pytest.raises(DataFolderError, match=CONVERTS.replace("m4a", ending)):
        sounds_below(tmp_path, "speech")


def test_a_phones_recordings_beside_others_are_named(tmp_path, capsys):
    phone_recordings(tmp_path / "yes")
    phone_recordings(tmp_path / "_background_noise_/street")
    save(tmp_path / "yes/p9_nohash_0.wav", form(), chunk(b"data", PCM))
    folder = DataFolder(tmp_path)
    assert folder.words == ("yes",)
    (note,) = [note for note in folder.notes() if "ffmpeg" in note]  # which `train` and `data check` say
    assert note.startswith("6 files, such as yes/p0_nohash_0.m4a, are of a format that is not read")
    assert [path.name for path in sounds_below(tmp_path, "speech")] == ["p9_nohash_0.wav"]
    said = capsys.readouterr().err
    assert "6 files" in said
    assert said.count("\n") == 1


def test_data_check_lists_a_faulty_file_with_its_fault_and_reports_the_rest(tmp_path, capsys):
    from kwspot.runtime.cli import main

    folder = tmp_path / "data"
    phone_recordings(folder / "yes")
    save(folder / "yes/a_nohash_0.wav", form(), chunk(b"data", PCM))
    save(folder / "yes/b_nohash_0.wav", form(rate=1), chunk(b"data", PCM[:-2]))
    save(folder / "yes/c_nohash_0.wav", form(), chunk(b"data", PCM[2:], size=4000, pad=False))
    save(folder / "yes/d_nohash_0.wav", form(), chunk(b"LIST", b"", size=0xFFFF_FFF0), chunk(b"data", PCM))
    os.mkfifo(folder / "yes/e_nohash_0.wav")
    soundfile.write(folder / "yes/f_nohash_0.wav", SOUND / 65_536, RATE_HZ, subtype="GSM610")
    soundfile.write(folder / "yes/g_nohash_0.flac", SOUND, RATE_HZ)
    lies = bytearray((folder / "yes/g_nohash_0.flac").read_bytes())
    lies[21:26] = b"\xff" * 5
    (folder / "yes/g_nohash_0.flac").write_bytes(lies)
    assert main(["data", "check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()

    def kind_of(name: str) -> str:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"  yes/{name}"))
        return next(line for line in lines[at::-1] if not line.startswith("  ")).partition(" (")[0]

    assert not [line for line in lines if line.startswith(("  yes/a_", "  yes/f_"))]
    kinds = {"b": "corrupt", "c": "longer", "d": "corrupt", "e": "unreadable", "p0": "left out"}
    assert {name: kind_of(f"{name}_nohash") for name in kinds} == kinds
    assert kind_of("g_nohash") in ("truncated", "corrupt")


def test_clipping_is_counted_the_same_in_any_blocks():
    rng = np.random.default_rng(4)
    for channels in (1, 2):
        frames = np.clip(rng.normal(0, 60_000, (400, channels)), -32_768, 32_767).astype(np.int16)
        runs = 0
        for side in (frames >= 32_767, frames <= -32_767):
            for column in side.T:
                text = "".join("x" if full else " " for full in column)
                runs += sum(len(run) for run in text.split() if len(run) >= 3)
        for size in (1, 2, 3, 7, 400):
            counter = ClippingCounter(channels)
            for start in range(0, 400, size):
                counter.push(frames[start : start + size])
            assert counter.samples == runs > 40


LONG = """
import resource, sys
from kwspot.runtime.audio.sources import wav_blocks
import soundfile, soxr, numpy
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(map(len, wav_blocks(sys.argv[1]))), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024)
"""


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16")])
def test_memory_does_not_grow_with_a_files_length(tmp_path, kind, subtype):
    path, block = tmp_path / "long", np.random.default_rng(1).normal(0, 0.01, (48_000, 2))
    with soundfile.SoundFile(path, "w", 48_000, 2, subtype, format=kind) as file:
        for _ in range(120):
            file.write(block)
    done = subprocess.run([sys.executable, "-c", LONG, path], capture_output=True, text=True, check=True)
    samples, further_mb = map(int, done.stdout.split())
    assert samples == 120 * RATE_HZ
    assert further_mb < 25  # 46 MB are 2 minutes of float64 stereo at 48 kHz, halved


@pytest.mark.slow
def test_fuzzed_headers_give_sound_or_one_line(tmp_path):
    """2,500 files with bytes, sizes and lengths changed: sound or a KwspotError, in bounded memory and time."""
    rng = random.Random(17)
    seeds = []
    kinds = [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAV", "MS_ADPCM"),
        ("FLAC", None),
    ]
    kinds += [
        ("WAVEX", "PCM_16"),
        ("RF64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
        ("OGG", None),
    ]
    kinds += [
        ("W64", "PCM_16"),
        ("VOC", "PCM_16"),
        ("WAV", "GSM610"),
        ("XI", "DPCM_16"),
        ("NIST", "PCM_16"),
        ("SVX", "PCM_16"),
    ]
    for kind, subtype in kinds:
        soundfile.write(tmp_path / "seed", SOUND[:400] / 32_768, RATE_HZ, format=kind, subtype=subtype)
        seeds.append((tmp_path / "seed").read_bytes())
    numbers = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF]
    path = tmp_path / "fuzzed.wav"
    sounds = told = 0
    count, before_kb = 2_500, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        content = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 6)):
            at = min(int(rng.expovariate(1 / 30)), len(content) - 9)
            match rng.randrange(5):
                case 0:
                    content[at] = rng.randrange(256)
                case 1:
                    content[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(numbers))
                case 2:
                    del content[at : at + rng.randrange(1, 9)]
                case 3:
                    content[at:at] = rng.randbytes(rng.randrange(1, 9))
                case _:
                    del content[rng.randrange(len(content)) :]
                    content += bytes(16)
        path.write_bytes(content)
        try:
            samples = sum(map(len, wav_blocks(path)))
            assert samples <= 4 * (len(content) * 8 + 10_000)
            sounds += 1
        except KwspotError as error:
            told += len(str(error).splitlines()) == 1
    assert sounds + told == count
    assert sounds > 150
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000


def test_int16_is_rounded_then_saturated():
    assert to_int16(np.array([1.0, -1.0, 2.0, 0.4 / 32_768, 0.6 / 32_768])).tolist() == [32_767, -32_768, 32_767, 0, 1]
