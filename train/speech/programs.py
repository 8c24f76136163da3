"""Programs that speak, found on PATH: flite, festival, pico, RHVoice, espeak-ng with MBROLA's voices, piper.

A program is a function that lists its installed voices for a language, and a line in :data:`PROGRAMS`. A voice draws
rate and pitch where the program has such settings; what it writes is read at 16 kHz without the silence around it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import which
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.errors import ConfigError, RecordingError
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.runtime.files import scratch_folder
from kwspot.train.speech.festival import FestivalVoice

Sound = NDArray[np.int16]

PIPER_FOLDER = "PIPER_VOICES"
"""The environment variable that names the folder of piper's voices, ``<language>*.onnx``."""

_RATE_HZ = 16_000
_TIMEOUT_S = 60
_SILENCE_PEAK = INT16_FULL_SCALE // 300
# flite's own voices; "_time" can only tell the time, and kal16 is kal at another rate.
_FLITE_VOICES = ("awb", "kal16", "rms", "slt")
_FESTIVAL_LANGUAGES = {
    "en": ("english", "us"),
    "it": ("italian",),
    "fi": ("finnish",),
    "cs": ("czech",),
    "ru": ("russian",),
}
_FESTIVAL_ROOTS = (Path("/usr/share/festival/voices"), Path("/usr/local/share/festival/voices"))
# All speak faster than people who say one word (see voices.py).
_FESTIVAL_STRETCH = (1.0, 2.0)
_PICO_VOICES = ("en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT")
_RHVOICE = "RHVoice-test"
_RHVOICE_ROOT = Path("/usr/share/RHVoice/voices")
_RHVOICE_LANGUAGES = {
    "en": "English",
    "eo": "Esperanto",
    "pl": "Polish",
    "pt": "Brazilian-Portuguese",
    "ru": "Russian",
    "sq": "Albanian",
    "uk": "Ukrainian",
}
_MBROLA_ROOT = Path("/usr/share/mbrola")


@dataclasses.dataclass(frozen=True)
class Voice:
    """Someone who speaks.

    Attributes
    ----------
    timbre : what must not be on both sides of a split; espeak-ng's variants come in every accent, and say a word alike
    speak : gives another utterance each time, int16 (n,) at 16 kHz, as drawn from its generator; raises ConfigError
    """

    name: str
    timbre: str
    speak: Callable[[str, np.random.Generator], Sound]


def program_voices(language: str) -> list[Voice]:
    """List the voices of all installed programs that speak a language; none is no error."""
    return [voice for find in PROGRAMS for voice in find(language)]


def _voice(
    program: str,
    voice: str,
    command: Callable[[str, str, Path, np.random.Generator], tuple[list[str], str]],
    *,
    name: str | None = None,
) -> Voice:
    """Make the voice of a program that writes a WAV file; `command` gives its arguments and its standard input."""

    def speak(text: str, rng: np.random.Generator) -> Sound:
        with scratch_folder("voice") as folder:
            wav = Path(folder) / "utterance.wav"
            arguments, given = command(text, voice, wav, rng)
            return _run_program(arguments, given, wav, text)

    return Voice(name := f"{program}-{name or voice}", name, speak)


def _run_program(arguments: Sequence[str], given: str, wav: Path, text: str) -> Sound:
    try:
        done = subprocess.run(
            arguments, input=given, encoding="utf-8", capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{arguments[0]} was not done with {text!r} after {_TIMEOUT_S} s; expected a second: leave its voices out "
            "with held_out_voices in [word]"
        ) from None
    message = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return _read_speech(arguments[0], wav, text, f"status {done.returncode}: {message}")


def _read_speech(program: str, wav: Path, text: str, reason: str) -> Sound:
    """Read what a program wrote, without the silence around it."""
    try:
        sound = read_sound(wav, _RATE_HZ)
    except RecordingError:
        raise ConfigError(
            f"{program} cannot speak {text!r} ({reason}); leave its voices out with held_out_voices in [word], or "
            "spell the phrase otherwise"
        ) from None
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > _SILENCE_PEAK)
    if len(loud) == 0:
        raise ConfigError(f"{program} gives no sound for {text!r}; spell the phrase otherwise")
    return sound[loud[0] : loud[-1] + 1]


# ---- flite


def _flite_voices(language: str) -> list[Voice]:
    return [_voice("flite", name, _flite) for name in _FLITE_VOICES] if language == "en" and which("flite") else []


def _flite(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    settings: dict[str, Any] = {
        "duration_stretch": f"{rng.uniform(1.0, 2.1):.3f}",
        "int_f0_target_mean": f"{(170 if voice == 'slt' else 105) * rng.uniform(0.8, 1.25):.0f}",
    }
    arguments = ["flite", "-voice", voice, "-o", str(wav)]
    for key, value in settings.items():
        arguments += ["--setf", f"{key}={value}"]
    return [*arguments, "-t", text], ""


# ---- festival


def _festival_voices(language: str) -> list[Voice]:
    if not which("festival"):
        return []
    names = _FESTIVAL_LANGUAGES.get(language, ())
    folders = [entry for root in _FESTIVAL_ROOTS for name in names for entry in root.glob(f"{name}/*")]
    return [_festival(name) for name in sorted({entry.name for entry in folders if entry.is_dir()})]


def _festival(voice: str) -> Voice:
    festival = FestivalVoice(voice)

    def speak(text: str, rng: np.random.Generator) -> Sound:
        with scratch_folder("voice") as folder:
            wav = Path(folder) / "utterance.wav"
            festival.write(text, wav, rng.uniform(*_FESTIVAL_STRETCH))
            return _read_speech("festival", wav, text, "no sound was written")

    return Voice(name := f"festival-{voice}", name, speak)


# ---- pico


def _pico_voices(language: str) -> list[Voice]:
    names = [name for name in _PICO_VOICES if name.startswith(f"{language}-")]
    return [_voice("pico", name, _pico) for name in names] if which("pico2wave") else []


def _pico(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    speed, pitch = rng.integers(45, 105), rng.integers(70, 140)
    markup = f"<speed level='{speed}'><pitch level='{pitch}'>{escape(text)}</pitch></speed>"
    return ["pico2wave", "-l", voice, "-w", str(wav), markup], ""


# ---- RHVoice


def _rhvoice_voices(language: str) -> list[Voice]:
    """List the voices whose own language it is."""
    if not which(_RHVOICE):
        return []
    line = f"language={_RHVOICE_LANGUAGES.get(language)}"
    infos = _RHVOICE_ROOT.glob("*/voice.info")
    names = [info.parent.name for info in infos if line in info.read_text(encoding="utf-8").splitlines()]
    return [_voice("rhvoice", name, _rhvoice) for name in sorted(names)]


def _rhvoice(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    rate, pitch = str(rng.integers(25, 90)), str(rng.integers(75, 130))
    return [_RHVOICE, "-p", voice, "-r", rate, "-t", pitch, "-o", str(wav)], text


# ---- MBROLA


def _mbrola_voices(language: str) -> list[Voice]:
    """List those that espeak-ng speaks the language through and that are installed: "us1", "de4-en" (an accent)."""
    if not (which("mbrola") and which("espeak-ng")):
        return []
    listed = subprocess.run(
        ["espeak-ng", f"--voices={language}"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    ).stdout
    names = {name for name in re.findall(r"\bmb/mb-(\S+)", listed) if (_MBROLA_ROOT / name.partition("-")[0]).is_dir()}
    return [_voice("mbrola", name, _mbrola) for name in sorted(names)]


def _mbrola(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    rate, pitch = str(rng.integers(80, 160)), str(rng.integers(25, 75))
    return ["espeak-ng", "-v", f"mb-{voice}", "-s", rate, "-p", pitch, "-w", str(wav), "--", text], ""


# ---- piper


def _piper_voices(language: str) -> list[Voice]:
    if not (which("piper") and PIPER_FOLDER in os.environ):
        return []
    models = sorted(Path(os.environ[PIPER_FOLDER]).rglob(f"{language}[_-]*.onnx"))
    return [_voice("piper", str(model), _piper, name=model.stem) for model in models]


def _piper(text: str, model: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    scale = f"{rng.uniform(0.9, 1.8):.3f}"
    return ["piper", "--model", model, "--length_scale", scale, "--output_file", str(wav)], text


PROGRAMS: tuple[Callable[[str], list[Voice]], ...] = (
    _flite_voices,
    _festival_voices,
    _pico_voices,
    _rhvoice_voices,
    _mbrola_voices,
    _piper_voices,
)
"""One function for each program: its installed voices that speak a language. Another program is one more line."""
