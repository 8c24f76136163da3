"""Programs that speak, found on PATH: flite, festival, pico, RHVoice, espeak-ng with MBROLA's voices, piper.

Each takes a text and a voice, draws rate and pitch where it has such settings,
and writes a WAV file, which is read back at 16 kHz without the silence around it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
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
class ProgramVoice:
    """A voice of a program; `say` raises ConfigError if the program fails."""

    name: str
    say: Callable[[str, np.random.Generator], Sound]


def program_voices(language: str) -> list[ProgramVoice]:
    """What is installed and speaks the language, sorted by program; none is no error."""
    found: list[ProgramVoice] = []
    if language == "en" and shutil.which("flite"):
        found += [_voice("flite", name, _flite) for name in _FLITE_VOICES]
    if shutil.which("festival"):
        found += [_festival(name) for name in _festival_voices(language)]
    if shutil.which("pico2wave"):
        found += [_voice("pico", name, _pico) for name in _PICO_VOICES if name.startswith(f"{language}-")]
    if shutil.which(_RHVOICE):
        found += [_voice("rhvoice", name, _rhvoice) for name in _rhvoice_voices(language)]
    if shutil.which("mbrola") and shutil.which("espeak-ng"):
        found += [_voice("mbrola", name, _mbrola) for name in _mbrola_voices(language)]
    if shutil.which("piper") and PIPER_FOLDER in os.environ:
        models = sorted(Path(os.environ[PIPER_FOLDER]).rglob(f"{language}[_-]*.onnx"))
        found += [_voice("piper", str(model), _piper, name=model.stem) for model in models]
    return found


def _voice(
    program: str,
    voice: str,
    command: Callable[[str, str, Path, np.random.Generator], tuple[list[str], str]],
    *,
    name: str | None = None,
) -> ProgramVoice:
    def say(text: str, rng: np.random.Generator) -> Sound:
        with scratch_folder("voice") as folder:
            wav = Path(folder) / "said.wav"
            arguments, given = command(text, voice, wav, rng)
            return _said(arguments, given, wav, text)

    return ProgramVoice(f"{program}-{name or voice}", say)


def _said(arguments: Sequence[str], given: str, wav: Path, text: str) -> Sound:
    try:
        done = subprocess.run(arguments, input=given, text=True, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{arguments[0]} was not done with {text!r} after {_TIMEOUT_S} s; expected a second: leave its voices out "
            "with left_out_voices in [word]"
        ) from None
    said = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return _heard(arguments[0], wav, text, f"status {done.returncode}: {said}")


def _heard(program: str, wav: Path, text: str, reason: str) -> Sound:
    try:
        sound = read_sound(wav, _RATE_HZ)
    except RecordingError:
        raise ConfigError(
            f"{program} cannot speak {text!r} ({reason}); leave its voices out with left_out_voices in [word], or "
            "spell the phrase otherwise"
        ) from None
    heard = np.flatnonzero(np.abs(sound.astype(np.int32)) > _SILENCE_PEAK)
    if len(heard) == 0:
        raise ConfigError(f"{program} gives no sound for {text!r}; spell the phrase otherwise")
    return sound[heard[0] : heard[-1] + 1]


def _flite(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    settings: dict[str, Any] = {
        "duration_stretch": f"{rng.uniform(1.0, 2.1):.3f}",
        "int_f0_target_mean": f"{(170 if voice == 'slt' else 105) * rng.uniform(0.8, 1.25):.0f}",
    }
    arguments = ["flite", "-voice", voice, "-o", str(wav)]
    for key, value in settings.items():
        arguments += ["--setf", f"{key}={value}"]
    return [*arguments, "-t", text], ""


def _festival_voices(language: str) -> list[str]:
    names = _FESTIVAL_LANGUAGES.get(language, ())
    folders = [entry for root in _FESTIVAL_ROOTS for name in names for entry in root.glob(f"{name}/*")]
    return sorted({entry.name for entry in folders if entry.is_dir()})


def _festival(voice: str) -> ProgramVoice:
    festival = FestivalVoice(voice)

    def say(text: str, rng: np.random.Generator) -> Sound:
        with scratch_folder("voice") as folder:
            wav = Path(folder) / "said.wav"
            festival.write(text, wav, rng.uniform(*_FESTIVAL_STRETCH))
            return _heard("festival", wav, text, "no sound was written")

    return ProgramVoice(f"festival-{voice}", say)


def _pico(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    speed, pitch = rng.integers(45, 105), rng.integers(70, 140)
    said = f"<speed level='{speed}'><pitch level='{pitch}'>{escape(text)}</pitch></speed>"
    return ["pico2wave", "-l", voice, "-w", str(wav), said], ""


def _rhvoice_voices(language: str) -> list[str]:
    """Those whose own language it is."""
    told = f"language={_RHVOICE_LANGUAGES.get(language)}"
    infos = _RHVOICE_ROOT.glob("*/voice.info")
    return sorted(info.parent.name for info in infos if told in info.read_text(encoding="utf-8").splitlines())


def _rhvoice(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    rate, pitch = str(rng.integers(25, 90)), str(rng.integers(75, 130))
    return [_RHVOICE, "-p", voice, "-r", rate, "-t", pitch, "-o", str(wav)], text


def _mbrola_voices(language: str) -> list[str]:
    """Those that espeak-ng speaks the language through, and that are installed: "us1", or "de4-en" with an accent."""
    listed = subprocess.run(
        ["espeak-ng", f"--voices={language}"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    ).stdout
    names = {name for name in re.findall(r"\bmb/mb-(\S+)", listed) if (_MBROLA_ROOT / name.partition("-")[0]).is_dir()}
    return sorted(names)


def _mbrola(text: str, voice: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    rate, pitch = str(rng.integers(80, 160)), str(rng.integers(25, 75))
    return ["espeak-ng", "-v", f"mb-{voice}", "-s", rate, "-p", pitch, "-w", str(wav), "--", text], ""


def _piper(text: str, model: str, wav: Path, rng: np.random.Generator) -> tuple[list[str], str]:
    scale = f"{rng.uniform(0.9, 1.8):.3f}"
    return ["piper", "--model", model, "--length_scale", scale, "--output_file", str(wav)], text
