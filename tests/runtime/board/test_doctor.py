"""The doctor names what is wrong with a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kwspot.runtime.board import doctor
from kwspot.runtime.errors import DeviceError

RATE_HZ = 16_000


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_doctor_reads_a_board_that_is_not_well(tmp_path):
    def found() -> dict[str, doctor.Finding]:
        return {finding.subject: finding for finding in doctor.processor(root=tmp_path)}

    assert found() == {}
    put(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    put(tmp_path / "sys/class/thermal/thermal_zone0/temp", "84500\n")
    put(tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    sick = found()
    assert set(sick) == {"governor", "temperature", "throttling"}
    assert all(finding.todo for finding in sick.values())
    assert "under-voltage now" in sick["throttling"].seen
    put(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    put(tmp_path / "sys/class/thermal/thermal_zone0/temp", "48000\n")
    put(tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
    assert not any(finding.todo for finding in found().values())


def test_the_doctor_finds_rights_and_sound_server(tmp_path, monkeypatch):
    def unplugged():
        raise DeviceError("PortAudio cannot be loaded; expected libportaudio2: sudo apt install libportaudio2")

    monkeypatch.setattr("kwspot.runtime.audio.devices.input_devices", unplugged)
    put(tmp_path / "dev/snd/pcmC0D0c", "")
    put(tmp_path / "run/user/1000/pulse/native", "")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    environment = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    found = {finding.subject: finding for finding in doctor.sound(root=tmp_path, environment=environment)}
    assert found["portaudio"].todo == "sudo apt install libportaudio2"
    assert found["sound card"].todo.startswith("sudo usermod -aG ")
    assert found["sound server"].seen == "PulseAudio in /run/user/1000"
    alone = {finding.subject: finding for finding in doctor.sound(root=tmp_path, environment={})}
    assert "loginctl enable-linger" in alone["sound server"].todo


def test_the_doctor_runs_every_engine_that_is_installed():
    command = [sys.executable, "-m", "kwspot.runtime.cli", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    for engine in ("litert", "onnx"):
        assert f"OK    engine {engine}: passed: commands on {engine} uses " in done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith(("OK    ", "LOOK  ")) for line in lines[: len(lines) - done.returncode])
    assert ("LOOK" in done.stdout) == (done.returncode == 1)
