"""``kwspot doctor``: what is wrong with this machine. Each check gives findings, each finding is a line.

Files of the system are read below `root`, so that tests can bring their own.
"""

from __future__ import annotations

import argparse
import dataclasses
import grp
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kwspot.runtime.board.state import temperature_c, throttling

ENGINE_TIMEOUT_S = 120.0
HOT_CELSIUS = 80.0
"""Where a Raspberry Pi begins to slow down."""


def main(argv: Sequence[str]) -> int:
    """Run ``kwspot doctor``."""
    argparse.ArgumentParser(
        prog="kwspot doctor",
        description="Check Python, engines, PortAudio, microphones, permissions, sound server and processor. "
        "Each line is OK, or says what to do; exit status 1 if anything is to be done.",
    ).parse_args(argv)
    wrong = 0
    for finding in all_findings():
        wrong += finding.todo is not None
        mark, rest = ("OK  ", "") if finding.todo is None else ("LOOK", f": {finding.todo}")
        print(f"{mark}  {finding.subject}: {finding.seen}{rest}", flush=True)
    if wrong:
        print(f"{wrong} of these lines say what to do")
    return 1 if wrong else 0


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line: `todo` says what to do, None that all is well."""

    subject: str
    seen: str
    todo: str | None = None


def python_and_packages() -> Iterator[Finding]:
    """Check the interpreter, numpy and the kit."""
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("python", version, None if supported else "install Python 3.11, 3.12 or 3.13")
    yield Finding("kwspot", f"{importlib.metadata.version('kwspot')}, numpy {importlib.metadata.version('numpy')}")


def engines() -> Iterator[Finding]:
    """Check each engine that is installed by the selftest of a bundle that ships; at least one has to work.

    Each runs in a process of its own: a library for another processor ends its
    process, and not this one.
    """
    from kwspot.runtime.child import kwspot_command, last_words
    from kwspot.runtime.model.bundle import shipped_bundles
    from kwspot.runtime.model.engines import installed_engines, reinstall

    installed = installed_engines()
    if not installed:
        yield Finding("engine", "none is installed", "pip install 'kwspot[litert]'")
    for name in installed:
        command = kwspot_command("selftest", shipped_bundles()[0], "--engine", name, "--hops", "100")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ENGINE_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            yield Finding(f"engine {name}", "does not answer", reinstall(name))
            continue
        said = last_words(done.stderr if done.returncode == 2 else done.stdout, done.returncode)
        seen = said.removesuffix(f": {reinstall(name)}")  # what the engine says of itself may name the remedy
        if done.returncode < 0:
            seen = f"ended by signal {-done.returncode}"
        yield Finding(f"engine {name}", seen, None if done.returncode == 0 else reinstall(name))


def sound(*, root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Check PortAudio, the microphones, the rights on sound cards and the sound server.

    What a card or a server lacks is only to be mended where no microphone is found.
    """
    from kwspot.runtime.audio.devices import input_devices
    from kwspot.runtime.errors import DeviceError

    heard = False
    try:
        found = input_devices()
    except ModuleNotFoundError:
        yield Finding("portaudio", "sounddevice is not installed", "pip install 'kwspot[mic]'")
    except DeviceError as error:
        seen, _, remedy = str(error).rpartition(": ")
        yield Finding("portaudio", seen, remedy)
    else:
        yield Finding("portaudio", found.portaudio)
        heard = any(device.rates_hz for device in found.inputs)
        for device in found.inputs:
            rates = ", ".join(map(str, device.rates_hz))
            todo = None if rates else "another program may hold it: close it, or look with 'fuser -v /dev/snd/*'"
            yield Finding(f"microphone {device.number}", f"{device.name}, {rates or 'does not open'} Hz", todo)
            if device.rates_hz and 16_000 not in device.rates_hz and importlib.util.find_spec("soxr") is None:
                yield Finding("soxr", f"needed for {device.name}, not installed", "pip install 'kwspot[files]'")
        if not found.inputs:
            yield Finding("microphone", "none is found", "plug one in; 'arecord -l' shows what the kernel sees")
    yield from _rights(root / "dev/snd", heard)
    yield from _sound_server(root, environment, heard)


def _rights(folder: Path, heard: bool) -> Iterator[Finding]:
    recorders = sorted(folder.glob("pcmC*c"))
    if not recorders:
        yield Finding(
            "sound card", f"{folder} holds no recording device", "plug in a microphone, or use a sound server's"
        )
    for path in recorders:
        if os.access(path, os.R_OK | os.W_OK):
            yield Finding("sound card", f"{path} may be opened")
        else:
            group = path.stat().st_gid
            name = next((entry.gr_name for entry in grp.getgrall() if entry.gr_gid == group), str(group))
            yield Finding(
                "sound card", f"{path} may not be opened", f"sudo usermod -aG {name} $USER, then log in again"
            )


def _sound_server(root: Path, environment: Mapping[str, str], heard: bool) -> Iterator[Finding]:
    """Look for the session of PipeWire or PulseAudio, which a service without a login does not have."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime is None:
        todo = "name an ALSA device (kwspot devices), or run as a user service: loginctl enable-linger $USER"
        yield Finding("sound server", "not looked for, XDG_RUNTIME_DIR is not set", None if heard else todo)
        return
    folder = root / runtime.lstrip("/")
    servers = {"PipeWire": "pipewire-0", "PulseAudio": "pulse/native"}
    running = [name for name, socket in servers.items() if (folder / socket).exists()]
    seen = f"{' and '.join(running)} in {runtime}" if running else f"none in {runtime}, ALSA alone"
    yield Finding("sound server", seen)


def processor(*, root: Path = Path("/")) -> Iterator[Finding]:
    """Read the clock's governor, the temperature, and whether a Raspberry Pi throttles, where they can be read."""
    governors = {path.read_text().strip() for path in root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    if governors:
        slow = "powersave" in governors and not (root / "sys/devices/system/cpu/intel_pstate").exists()
        todo = "echo ondemand | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        yield Finding("governor", ", ".join(sorted(governors)), todo if slow else None)
    if (celsius := temperature_c(root)) is not None:
        yield Finding("temperature", f"{celsius:.0f} °C", "cool the board" if celsius >= HOT_CELSIUS else None)
    if (complaints := throttling(root)) is not None:
        todo = "use the board's own power supply and a short cable, and cool it"
        yield Finding("throttling", ", ".join(complaints) or "none since the start", todo if complaints else None)


def all_findings() -> Iterator[Finding]:
    """Run every check in turn."""
    yield from python_and_packages()
    yield from engines()
    yield from sound()
    yield from processor()
