"""The systemd unit: accepted by systemd-analyze, small in what it may do, written where it belongs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kwspot.runtime.board import service as service_cli
from kwspot.runtime.board.service_unit import unit
from kwspot.runtime.errors import BundleError, ConfigError

MOST_EXPOSED = 2.0


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "my settings 100%" / "kwspot.toml"
    path.parent.mkdir()
    path.write_text('wyoming = "tcp://127.0.0.1:10400"\n')
    return path


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where a user's units go; there is no service manager."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(service_cli, "BOOTED", tmp_path / "not booted")
    return tmp_path / "config"


def analyze(*arguments: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("system", [True, False])
def test_systemd_accepts_the_unit(config, tmp_path, system):
    path = tmp_path / "kwspot.service"
    path.write_text(unit(Path(sys.executable), config, system=system))
    done = analyze(*([] if system else ["--user"]), "verify", str(path), tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_system_unit_may_do_little(config, tmp_path):
    path = tmp_path / "kwspot.service"
    path.write_text(unit(Path(sys.executable), config, system=True))
    told = analyze("security", "--offline=true", "--no-pager", str(path), tmp_path=tmp_path).stdout
    found = re.search(r"Overall exposure level for kwspot.service: ([\d.]+)", told)
    assert found, told
    assert float(found[1]) <= MOST_EXPOSED


def test_install_writes_a_unit_that_runs_this_kit_with_that_file(config, home, capsys):
    assert service_cli.main(["install", "--config", str(config)]) == 0
    path = home / "systemd/user/kwspot.service"
    told = capsys.readouterr().err
    assert "systemd does not run here; where it does: systemctl --user enable --now kwspot.service" in told
    text = path.read_text()
    quoted = str(config).replace("%", "%%")
    assert f'ExecStart={sys.executable} -m kwspot.runtime.cli listen --config "{quoted}"' in text
    assert "WantedBy=default.target" in text
    assert service_cli.main(["uninstall"]) == 0
    assert not path.exists()


def test_print_changes_nothing(config, home, capsys):
    assert service_cli.main(["install", "--config", str(config), "--print"]) == 0
    assert capsys.readouterr().out == unit(Path(sys.executable), config, system=False)
    assert not home.exists()


def test_a_file_with_a_password_is_handed_over_by_systemd(config, home, capsys, tmp_path):
    config.write_text('mqtt = "mqtt://ann:secret@broker.local"\n')
    config.chmod(0o600)
    assert service_cli.main(["install", "--config", str(config), "--system", "--print"]) == 0
    text = capsys.readouterr().out
    quoted = str(config).replace("%", "%%")
    assert f"\nLoadCredential=kwspot.toml:{quoted}\n" in text
    assert f"\nExecStart={sys.executable} -m kwspot.runtime.cli listen --config %d/kwspot.toml\n" in text
    assert "\nWorkingDirectory=%S/kwspot\n" in text
    assert "secret" not in text
    path = tmp_path / "kwspot.service"
    path.write_text(text)
    done = analyze("verify", str(path), tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    # A file that all may read, where the service sees it, can be read again at a reload.
    shown = unit(Path(sys.executable), Path("/etc/kwspot.toml"), system=True)
    assert "LoadCredential" not in shown
    assert "--config /etc/kwspot.toml" in shown


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(
            (name, options)
            for name in ("a\nExecStartPre=x", "a\r", "a\x7f", "a\udcff", "a\u2028b")
            for options in ([], ["--system"])
        ),
        ("a\\", []),  # as the end of a line
        ("a ", []),
    ],
)
def test_a_path_that_would_be_lines_of_its_own_is_refused(tmp_path, home, name, options, capsys):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "kwspot.toml").write_text("")
    with pytest.raises(ConfigError, match="cannot stand in a systemd unit"):
        service_cli.main(["install", "--config", str(folder / "kwspot.toml"), "--print", *options])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a;b", "a$HOME", "a b", "ä", "%d", "a\\b", "#a"])
def test_odd_paths_stand_in_the_unit_as_they_are(tmp_path, home, name, capsys):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "kwspot.toml").write_text("")
    assert service_cli.main(["install", "--config", str(folder / "kwspot.toml"), "--print"]) == 0
    path = tmp_path / "kwspot.service"
    path.write_text(capsys.readouterr().out)
    done = analyze("--user", "verify", str(path), tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ('bundle = "nosuch.kws"', BundleError, "nosuch.kws is no bundle"),
        ('mqtt = "mqtt://a..b"', ConfigError, "neither a host name"),
        ('web = "127.0.0.1:x"', ConfigError, "no number"),
        ('wyoming = "udp://x"', ConfigError, "tcp://HOST:PORT"),
    ],
)
def test_settings_that_could_never_run_are_told(config, home, capsys, settings, error, told):
    config.write_text(settings)
    with pytest.raises(error, match=told):
        service_cli.main(["install", "--config", str(config), "--print"])
    assert capsys.readouterr().out == ""


def test_a_bundle_is_found_from_the_folder_of_the_file(config, home, tiny_bundle, capsys):
    shutil.copytree(tiny_bundle.path, config.parent / "mine.kws")
    config.write_text('bundle = "mine.kws"')
    assert service_cli.main(["install", "--config", str(config), "--print"]) == 0
    config.chmod(0o600)
    with pytest.raises(ConfigError, match="expected the whole path"):
        service_cli.main(["install", "--config", str(config), "--print", "--system"])


def test_a_file_that_listen_would_refuse_is_refused(config, home):
    config.write_text("wyomin = 1\n")
    with pytest.raises(ConfigError, match="did you mean wyoming"):
        service_cli.main(["install", "--config", str(config)])
    assert not home.exists()


@pytest.mark.parametrize("command", ["status", "uninstall"])
def test_what_is_not_installed_is_told(home, command):
    with pytest.raises(ConfigError, match="nothing is installed"):
        service_cli.main([command])


def test_a_system_service_that_could_not_reach_its_bundle_is_refused(config, tiny_bundle, monkeypatch):
    config.write_text(f'bundle = "{tiny_bundle.path}"')
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="sudo kwspot service install"):
        service_cli.main(["install", "--system", "--config", str(config)])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    monkeypatch.setattr(service_cli, "HIDDEN", (tiny_bundle.path.resolve(),))
    with pytest.raises(ConfigError, match="cannot be reached by the service, because of"):
        service_cli.main(["install", "--system", "--config", str(config)])


def test_with_a_service_manager_it_is_enabled_started_and_taken_away(config, home, tmp_path, monkeypatch):
    """systemctl is a stand-in here: what it is told is looked at."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "systemctl").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/told\n')
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(service_cli, "BOOTED", tmp_path)
    for command in (["install", "--config", str(config)], ["status"], ["uninstall"]):
        assert service_cli.main(command) == 0
    assert (tmp_path / "told").read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable kwspot.service",
        "--user restart kwspot.service",
        "--user status --no-pager kwspot.service",
        "--user disable --now kwspot.service",
        "--user daemon-reload",
    ]
