"""``--config``: everything the options can say, checked; read again on SIGHUP; and the service manager is told."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.listen import cli as listen_cli
from kwspot.runtime.listen.config import NOT_IN_A_FILE, arguments
from kwspot.runtime.sinks.systemd import ServiceManager


def read(tmp_path: Path, text: str, *argv: str) -> argparse.Namespace:
    (tmp_path / "kwspot.toml").write_text(text)
    return arguments(listen_cli.parser_of_options(), ["--config", str(tmp_path / "kwspot.toml"), *argv])


def test_every_option_can_be_said_in_a_file_as_on_the_command_line(tmp_path):
    """One value for each option that there is; what the command line makes of it, the file gives too."""
    for action in listen_cli.parser_of_options()._actions:
        if action.dest in NOT_IN_A_FILE:
            continue
        key = action.dest.replace("_", "-")
        if action.nargs == 0:
            words, value = [], True
        elif isinstance(action, argparse._AppendAction):
            words, value = ["low=0.25"], {"low": 0.25}
        elif action.nargs in ("+", "*", argparse.REMAINDER):
            words, value = ["one", "two"], ["one", "two"]
        else:
            words = ["7"]
            value = 7
        line = words if not action.option_strings else [f"--{key}", *words]
        text = f"[{key}]\nlow = 0.25\n" if isinstance(value, dict) else f"{key} = {json.dumps(value)}\n"
        expected = getattr(listen_cli.parser_of_options().parse_args(line), action.dest)
        assert getattr(read(tmp_path, text), action.dest) == expected, key


def test_the_command_line_goes_before_the_file(tmp_path):
    text = 'bundle = "tutorial"\ndevice = "usb"\nengine = "onnx"\nthreshold = {low = 0.5, high = 0.6}\n'
    plain = read(tmp_path, text)
    assert (plain.bundle, plain.device, plain.engine, plain.wav) == ("tutorial", "usb", "onnx", None)
    over = read(tmp_path, text, "other.kws", "--wav", "a.wav", "--threshold", "low=0.9")
    assert (over.bundle, over.device, over.engine, over.wav) == ("other.kws", None, "onnx", ["a.wav"])
    assert listen_cli._thresholds(over.threshold) == {"low": 0.9, "high": 0.6}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("treshold = {low = 0.5}", "unknown key 'treshold'; did you mean threshold?"),
        ("xyzzy = 1", "expected one of bundle, "),
        ("help = true", "unknown key 'help'"),
        ("config = 'a'", "unknown key 'config'"),
        ("stdin = 'yes'", "expected true or false"),
        ("wav = 'a.wav'", "expected a list of texts"),
        ("wav = [1]", "expected a list of texts"),
        ("engine = ['onnx']", "expected NAME"),
        ("engine = true", "expected NAME"),
        ("engine = {a = 1}", "is a table"),
        ("wav = ['a']\ndevice = 'b'", "wav and device exclude each other"),
        ("engine = ", "is no TOML file"),
        ("threshold = 0.7", "expected a number for each word, as in threshold = {happy = 0.8}"),
        ("threshold = [[0.7]]", "expected a list of texts"),
        ("gate = [" + "-55, " * 1000 + "]", "expected DB"),
        ("gate = " + "[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ("gate = " + "{a = " * 5_000, "nested too deeply"),
        ("gate = " + "9" * 5_000, "has 5000 digits; mend"),
        ("gate = 0x" + "f" * 50_000, "more than 64 bits"),
        ('bundle = "a\\u0000b"', "U+0000"),
        ('wav = ["a\\u0000b"]', "U+0000"),
        ("bundle = 'a\0b'", "is no TOML file"),
        ("x" * 1_000_000 + " = 1", "more than 1000000 bytes"),
        ("x" * 900_000 + " = 1", "unknown key"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_in_one_line(tmp_path, text, told):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert told in str(error.value)
    assert "kwspot.toml" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    (tmp_path / "kwspot.toml").write_text("\ufeffengine = 'onnx'\n", encoding="utf-8")
    assert arguments(listen_cli.parser_of_options(), ["--config", str(tmp_path / "kwspot.toml")]).engine == "onnx"
    (tmp_path / "kwspot.toml").write_text("engine = 'onnx'\n", encoding="utf-16")
    with pytest.raises(ConfigError, match="not in UTF-8"):
        arguments(listen_cli.parser_of_options(), ["--config", str(tmp_path / "kwspot.toml")])


def test_the_home_folder_has_its_sign_in_paths_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    args = read(
        tmp_path, "bundle = '~/a.kws'\nwav = ['~/b.wav', 'c~']\nsave-events = '~/kept'\nexec = ['echo', '~/d']\n"
    )
    assert (args.bundle, args.wav, args.save_events) == ("/home/ann/a.kws", ["/home/ann/b.wav", "c~"], "/home/ann/kept")
    assert args.exec == ["echo", "~/d"]


def test_options_behind_exec_are_told_and_two_dashes_hand_them_on(tmp_path):
    parser = listen_cli.parser_of_options()
    for swallowed in (["--wav", "a.wav"], ["--threshold=low=0.5"], ["{label}", "--stdin"]):
        with pytest.raises(ConfigError, match=f"echo would get {swallowed[-1 if '--stdin' in swallowed else 0][:5]}"):
            arguments(parser, ["--exec", "echo", *swallowed])
    assert arguments(parser, ["--stdin", "--exec", "echo", "-n", "--else"]).exec == ["echo", "-n", "--else"]
    assert arguments(parser, ["--stdin", "--exec", "--", "echo", "--wav", "a"]).exec == ["echo", "--wav", "a"]
    assert read(tmp_path, "exec = ['echo', '--wav']").exec == ["echo", "--wav"]
    assert read(tmp_path, "exec = ['echo', '--wav']", "--exec", "--", "cat", "--wav").exec == ["cat", "--wav"]
    assert read(tmp_path, "exec = ['echo', '--wav']", "--exec", "cat").exec == ["cat"]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        arguments(listen_cli.parser_of_options(), ["--config", str(tmp_path / "none.toml")])
    with pytest.raises(ConfigError, match="expected a TOML file"):
        arguments(listen_cli.parser_of_options(), ["--config", str(tmp_path)])


class Manager:
    """What systemd is to a service: a socket that it notifies."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self.told: list[str] = []

    def hear(self, seconds: float) -> list[str]:
        """What is told within a time."""
        deadline, start = time.monotonic() + seconds, len(self.told)
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self.told.append(self._socket.recv(4096).decode())
        return self.told[start:]

    def until(self, text: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not any(text in told for told in self.told):
            assert time.monotonic() < deadline, f"never told {text!r}: {self.told}"
            self.hear(0.1)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def test_a_sign_of_life_is_given_while_blocks_come_and_not_otherwise(manager, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    told = ServiceManager.from_environment()
    assert told is not None
    told.put({"event": "start", "source": "microphone", "words": ["low"]})
    told.alive()
    told.alive()  # not yet due again
    assert manager.hear(0.15) == ["READY=1\nSTATUS=listening to microphone for low", "WATCHDOG=1"]
    told.alive()
    assert manager.hear(0.15) == ["WATCHDOG=1"]
    manager.close()
    told.put({"event": "detection", "label": "low", "score": 0.9})  # nobody there: no harm
    told.close()


def test_without_a_manager_nobody_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert ServiceManager.from_environment() is None


@pytest.fixture
def service(tmp_path, tiny_bundle, manager) -> Iterator[subprocess.Popen]:
    """kwspot listen --config as systemd starts it, serving Wyoming clients."""
    config = tmp_path / "kwspot.toml"
    config.write_text(f'bundle = "{tiny_bundle.path}"\nwyoming = "tcp://127.0.0.1:0"\n')
    environment = {**os.environ, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000"}
    environment.pop("WATCHDOG_PID", None)
    command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", "--config", str(config)]
    with (tmp_path / "err").open("w") as err, (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
    yield process
    process.kill()
    process.wait()


def events(tmp_path: Path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]


def test_a_process_that_is_stopped_gives_no_sign_of_life_until_it_goes_on(service, manager):
    manager.until("READY=1")
    manager.until("WATCHDOG=1")
    service.send_signal(signal.SIGSTOP)
    manager.hear(0.5)
    assert manager.hear(3) == []
    service.send_signal(signal.SIGCONT)
    manager.told.clear()
    manager.until("WATCHDOG=1")


def test_sighup_reads_the_file_again_and_a_wrong_one_changes_nothing(service, manager, tmp_path):
    def reload(text: str) -> None:
        (tmp_path / "kwspot.toml").write_text(text)
        manager.told.clear()
        service.send_signal(signal.SIGHUP)
        manager.until("READY=1")

    manager.until("READY=1")
    good = (tmp_path / "kwspot.toml").read_text()
    reload(good.replace("tcp://127.0.0.1:0", "tcp://localhost:0"))
    for wrong in ("wyomin = 1\n", good.replace("tiny.kws", "none.kws")):
        reload(wrong)
    assert service.poll() is None
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    found = events(tmp_path)
    assert [event["event"] for event in found] == ["start", "stop"] * 4
    assert [event["source"].rpartition(":")[0] for event in found[::2]] == [
        "wyoming tcp://127.0.0.1", *["wyoming tcp://localhost"] * 3,
    ]  # fmt: skip
    told = (tmp_path / "err").read_text()
    assert "unknown key 'wyomin'; did you mean wyoming?; going on with the settings before" in told
    assert "none.kws" in told
