"""Synthetic words: the same for the same seed, a sound data folder, and nothing half-made."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest
import soundfile

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.cli import main
from kwspot.runtime.errors import ConfigError
from kwspot.train.data.check import examine
from kwspot.train.data.noise import coloured_noise
from kwspot.train.speech.espeak import ACCENTS, SYNTH_RATE_HZ, VARIANTS, EspeakVoice, Synthesiser, espeak_voices

VOICE = EspeakVoice("test", "en-us", "f3", rate_wpm=170, pitch=50, intonation=50)
# This variant keeps an echo and draws noise: the hardest to repeat.
STATEFUL = EspeakVoice("test", "en", "Demonic", rate_wpm=170, pitch=50, intonation=50)


@pytest.fixture(scope="module")
def synthesiser() -> Synthesiser:
    return Synthesiser()


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("voice", [VOICE, STATEFUL])
def test_an_utterance_does_not_depend_on_those_before(synthesiser: Synthesiser, voice: EspeakVoice) -> None:
    first = synthesiser.speak("happy", voice)
    synthesiser.speak("cat", EspeakVoice("other", "en-029", "croak", rate_wpm=220, pitch=99, intonation=0))
    np.testing.assert_array_equal(synthesiser.speak("happy", voice), first)
    np.testing.assert_array_equal(Synthesiser().speak("happy", voice), first)


def test_a_word_is_trimmed_speech(synthesiser: Synthesiser) -> None:
    word = synthesiser.speak("happy", VOICE)
    assert word.dtype == np.int16
    assert 0.25 * SYNTH_RATE_HZ < len(word) < SYNTH_RATE_HZ
    assert 2_000 < np.abs(word.astype(int)).max() < 32_767
    # Speech at both ends, within 20 ms.
    assert np.abs(word[:320].astype(int)).max() > 20
    assert np.abs(word[-320:].astype(int)).max() > 20


def test_every_setting_is_heard(synthesiser: Synthesiser) -> None:
    plain = synthesiser.speak("happy", VOICE)
    slow = synthesiser.speak("happy", EspeakVoice("", "en-us", "f3", rate_wpm=120, pitch=50, intonation=50))
    assert len(slow) > 1.2 * len(plain)
    others = [
        EspeakVoice("", "en-gb-scotland", "f3", 170, 50, 50),
        EspeakVoice("", "en-us", "m3", 170, 50, 50),
        EspeakVoice("", "en-us", "f3", 170, 90, 50),
        EspeakVoice("", "en-us", "f3", 170, 50, 0),
    ]
    sounds = [plain, slow, *(synthesiser.speak("happy", voice) for voice in others)]
    assert len({sound.tobytes() for sound in sounds}) == len(sounds)


def test_every_accent_and_variant_is_there_and_differs(synthesiser: Synthesiser) -> None:
    known = {path.name for path in (Path(espeakng_loader.get_data_path()) / "voices" / "!v").iterdir()}
    assert set(VARIANTS) <= known
    by_accent = [synthesiser.speak("tomato", EspeakVoice("", accent, "m1", 170, 50, 50)) for accent in ACCENTS]
    by_variant = [synthesiser.speak("up", EspeakVoice("", "en-us", variant, 170, 50, 50)) for variant in VARIANTS]
    assert len({sound.tobytes() for sound in by_accent}) == len(ACCENTS)
    assert len({sound.tobytes() for sound in by_variant}) == len(VARIANTS)


@pytest.mark.parametrize("text", ["...", "", " ", "​"])
def test_a_text_without_sound(synthesiser: Synthesiser, text: str) -> None:
    with pytest.raises(ConfigError, match="gives no sound"):
        synthesiser.speak(text, VOICE)


def test_unknown_voice(synthesiser: Synthesiser) -> None:
    with pytest.raises(ConfigError, match="no variant 'f99'"):
        synthesiser.speak("up", EspeakVoice("", "en-us", "f99", 170, 50, 50))
    with pytest.raises(ConfigError, match="no accent 'xx-yy'"):
        synthesiser.speak("up", EspeakVoice("", "xx-yy", "f3", 170, 50, 50))


def test_voices_are_distinct_and_repeat() -> None:
    pairs = len(ACCENTS) * len(VARIANTS)
    many = espeak_voices(7, pairs + 10)
    assert len({voice.name for voice in many}) == len(many)
    assert len({(voice.accent, voice.variant) for voice in many[:pairs]}) == pairs
    assert espeak_voices(7, 20) == many[:20]
    assert espeak_voices(8, 20) != many[:20]
    assert not any("_nohash_" in voice.name or "/" in voice.name for voice in many)


def synth(target: Path, *options: str, words: tuple[str, ...] = ("yes", "hey computer")) -> int:
    return main(["data", "synth", *words, "--to", str(target), "--per-word", "24", "--voices", "12", *options])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("synth") / "words"
    assert synth(target) == 0
    return target


def test_the_folder_is_a_sound_data_folder(made: Path) -> None:
    folder = DataFolder(made)
    assert folder.words == ("hey computer", "yes")
    assert Counter(clip.word for clip in folder.clips()) == {"yes": 24, "hey computer": 24}
    # Of twelve voices two are for validation and two for the test, two utterances of each word.
    assert Counter(clip.part for clip in folder.clips()) == {"train": 32, "validation": 8, "test": 8}
    assert len({clip.speaker for clip in folder.clips()}) == 12
    assert examine(folder).faults == []


def test_clips(made: Path) -> None:
    levels = []
    for clip in DataFolder(made).clips():
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        sound = read_sound(clip.path, 16_000)
        assert len(sound) == 16_000 or (clip.word == "hey computer" and len(sound) > 16_000)
        levels.append(20 * np.log10(np.abs(sound.astype(int)).max() / 32768))
    assert min(levels) > -30.1
    assert max(levels) < -2.9
    assert np.std(levels) > 4
    # The word is anywhere in its second.
    starts = [int(np.flatnonzero(read_sound(path, 16_000))[0]) for path in (made / "yes").iterdir()]
    assert max(starts) - min(starts) > 4_000


def test_noise(made: Path) -> None:
    noise_files = DataFolder(made).noise_files
    assert [path.name for path in noise_files] == ["brown_noise.wav", "pink_noise.wav", "white_noise.wav"]
    for path in noise_files:
        sound = read_sound(path, 16_000) / 32768
        assert len(sound) == 30 * 16_000
        assert 10 * np.log10(np.mean(sound**2)) == pytest.approx(-20, abs=0.3)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_colour_of_noise(exponent: float) -> None:
    noise = coloured_noise(2**18, exponent, np.random.default_rng(1)).astype(float)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[2**k : 2 ** (k + 1)].mean() for k in range(7, 15)]
    slope = np.polyfit(np.arange(len(octaves)), np.log2(octaves), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


def test_same_seed_same_bytes(made: Path, tmp_path: Path) -> None:
    assert synth(tmp_path / "again") == 0
    assert digest(tmp_path / "again") == digest(made)
    assert synth(tmp_path / "again", "--seed", "2", "--overwrite") == 0
    assert digest(tmp_path / "again").keys() != digest(made).keys()


def test_a_folder_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine/yes").mkdir(parents=True)
    (tmp_path / "mine/yes/me_nohash_0.wav").write_text("a recording of mine")
    assert synth(tmp_path / "mine") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert synth(tmp_path / "mine", "--overwrite") == 2
    assert "was not made by kwspot data synth" in capsys.readouterr().err
    assert digest(tmp_path).keys() == {"mine/yes/me_nohash_0.wav"}


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("yes", "..."), [], "'...' cannot be the name"),
        (("yes", "!?"), [], "'!?' cannot be the name"),
        (("yes", "; ;"), [], "'; ;' has no letters to speak"),
        (("yes", "你好"), [], "Chinese"),
        (("yes", "robot 🤖"), [], "has the sign '🤖'"),
        (("a/b",), [], "'a/b' cannot be the name"),
        (("_silence_",), [], "'_silence_' cannot be the name"),
        (("yes", "yes"), [], "named twice"),
        (("yes",), ["--voices", "2"], "2 voices for 24 clips"),
        (("yes",), ["--voices", "25"], "25 voices for 24 clips"),
        (("yes",), ["--seed", "-1"], "--seed is -1"),
    ],
)
def test_mistakes_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], options: list[str], message: str
) -> None:
    assert synth(tmp_path / "words", *options, words=words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path: Path) -> None:
    # A limit on the size of a file fails a write as a full disk does; the noise is the first to reach it.
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "from kwspot.runtime.cli import main\n"
        f"sys.exit(main(['data', 'synth', 'yes', '--per-word', '3', '--to', {str(tmp_path / 'words')!r}]))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
