"""The program: help, exit statuses, and one line for every mistake."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from kwspot.runtime import cli
from kwspot.runtime.child import kwspot_command
from kwspot.runtime.errors import ConfigError


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help_and_loads_nothing_heavy_for_it(command):
    code = (
        "import sys\nfrom kwspot.runtime.cli import main\n"
        f"try: main([{command!r}, '--help'])\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'tensorflow', 'keras', 'librosa', 'matplotlib', 'scipy', 'onnx', 'onnxruntime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: kwspot {command}" in done.stdout


def test_without_a_command_or_with_an_unknown_one(capsys):
    assert cli.main([]) == 2
    assert "usage: kwspot" in capsys.readouterr().out
    assert cli.main(["listn"]) == 2
    assert capsys.readouterr().err == "kwspot: no command 'listn'; did you mean listen?\n"
    assert cli.main(["xyzzy"]) == 2
    assert "no command 'xyzzy'; expected one of data, train" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kwspot 0.")


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ConfigError("what; expected; do this"), 2, "kwspot: what; expected; do this\n"),
        (KeyboardInterrupt(), 130, "kwspot: interrupted\n"),
        (ModuleNotFoundError("no", name="tensorflow.keras"), 2, "pip install 'kwspot[train]'"),
        (OSError(errno.ENOSPC, "full", "/some/where"), 2, "/some/where: No space left on device; nothing half-written"),
    ],
)
def test_how_a_command_ends(monkeypatch, capsys, error, status, says):
    def fail(argv):
        raise error

    monkeypatch.setattr("kwspot.runtime.board.lists.list_bundles", fail)
    assert cli.main(["bundles"]) == status
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_our_own_bugs_are_tracebacks(monkeypatch):
    def fail(argv):
        raise ModuleNotFoundError("no", name="kwspot.nowhere")

    monkeypatch.setattr("kwspot.runtime.board.lists.list_bundles", fail)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["bundles"])


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "a\tb", "\udcff", "\u2028"])
def test_a_message_is_one_line_whatever_a_file_is_called(name, capsys):
    assert cli.main(["listen", name, "--wav", "nowhere.wav"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.rstrip("\n").isprintable()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["bundles"]])
def test_a_full_disk_behind_standard_output_is_told(arguments):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            kwspot_command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr.startswith("kwspot: No space left on device")) == (2, True), done.stderr


def test_a_full_disk_behind_standard_error_stops_nothing():
    with Path("/dev/full").open("wb") as full:
        line = [
            sys.executable,
            "-c",
            "import sys; from kwspot.runtime.standard_streams import repair; repair();"
            "print('progress', file=sys.stderr, flush=True); print('result')",
        ]
        done = subprocess.run(line, stdout=subprocess.PIPE, stderr=full, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"result\n")
