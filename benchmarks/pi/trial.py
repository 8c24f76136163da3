"""From archive to events on an emulated board: deploy, install without a network, selftest, listen."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from kwspot.benchmarks.pi.cores import core_of
from kwspot.benchmarks.pi.emulator import EmulatedBoard
from kwspot.runtime.child import kwspot_command, last_words, run_child
from kwspot.runtime.errors import DeployError

_SYSTEM_NUMPY = ("python3-numpy", "python3-cffi")
_SELFTEST_HOPS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """A board and what is deployed to it: the target and engine of ``kwspot deploy``, a Debian release, a core."""

    target: str
    engine: str
    release: str
    core: str
    packages: tuple[str, ...] = ("libportaudio2",)


TRIALS = {
    "trixie-a76-litert": Trial("pi-os-13-arm64", "litert", "trixie", "cortex-a76"),
    "trixie-a72-onnx": Trial("pi-os-13-arm64", "onnx", "trixie", "cortex-a72"),
    "bookworm-a53-litert": Trial("pi-os-12-arm64", "litert", "bookworm", "cortex-a53"),
    "bookworm-a72-tflite": Trial("pi-os-12-arm64", "tflite", "bookworm", "cortex-a72"),
    "armhf-a7-tflite": Trial("pi-os-12-armhf", "tflite", "bookworm", "cortex-a7", ("libportaudio2", *_SYSTEM_NUMPY)),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the board printed: the installer's last lines, the selftest, and the events of the sound."""

    installed: str
    selftest: str
    events: list[dict[str, Any]]


def kwspot(*words: str) -> str:
    """Run a command of the kit and return its standard output."""
    return run_child(kwspot_command(*words), lambda output: DeployError(f"'kwspot {' '.join(words)}' failed: {output}"))


def events_of(output: str) -> list[dict[str, Any]]:
    """Return the detections and the stop of a listening, without the file's path and the time of day."""
    events: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    return [
        {key: value for key, value in event.items() if key not in ("source", "time")}
        for event in events
        if event["event"] != "start"
    ]


def run_trial(trial: Trial, archive: Path, sound: Path, work: Path) -> Outcome:
    """Install an archive on a fresh board, without a network, and let it hear a sound."""
    board = EmulatedBoard(work, core_of(trial.core), release=trial.release, packages=trial.packages)
    shutil.rmtree(board.home)
    board.home.mkdir()
    shutil.copy(sound, board.home / "sound.wav")
    with tarfile.open(archive) as content:
        content.extractall(board.home, filter="data")
    installed = _on(board, "sh", "kwspot-pi/install.sh")
    bundle = f"kwspot/current/{next(path.name for path in (board.home / 'kwspot-pi').glob('*.kws'))}"
    selftest = _on(board, "kwspot/bin/kwspot", "selftest", bundle, "--hops", str(_SELFTEST_HOPS))
    listening = _on(board, "kwspot/bin/kwspot", "listen", bundle, "--wav", "sound.wav")
    return Outcome(installed.stderr, selftest.stdout, events_of(listening.stdout))


def _on(board: EmulatedBoard, *command: str) -> subprocess.CompletedProcess[str]:
    done = board.run(command)
    if done.returncode:
        raise DeployError(
            f"'{' '.join(command)}' on the emulated {board.core.board} failed: "
            f"{last_words(done.stderr or done.stdout, done.returncode)}"
        )
    return done
