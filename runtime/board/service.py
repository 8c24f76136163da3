"""``kwspot service install|status|uninstall``: a systemd unit that starts listening when the machine boots."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.standard_streams import say

NAME = "kwspot.service"
BOOTED = Path("/run/systemd/system")
"""There is a service manager if systemd has made this folder: sd_booted(3)."""
HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))
"""What the unit's ProtectHome and PrivateTmp take from the service."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot service", description="Install, show or remove a systemd service that runs kwspot listen."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("install", "write the unit, enable it and start it"),
        ("status", "show whether it is installed and runs"),
        ("uninstall", "stop it and remove the unit"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
        command.add_argument("--system", action="store_true", help="the machine's service, not the user's (needs root)")
        if name == "install":
            command.add_argument("--config", required=True, metavar="FILE.toml", help="the options of kwspot listen")
            command.add_argument("--print", action="store_true", help="print the unit and change nothing")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run ``kwspot service``."""
    args = _parser().parse_args(argv)
    path = unit_path(system=args.system)
    if args.command == "install":
        return _install(Path(args.config), path, system=args.system, only_print=args.print)
    if not path.exists():
        other = "without --system" if args.system else "or with --system for the machine's"
        raise ConfigError(
            f"{path} is not there, so nothing is installed; expected it from: kwspot service install, {other}"
        )
    if args.command == "status":
        print(path)
        return _systemctl("status", "--no-pager", NAME, system=args.system)
    if BOOTED.exists():
        _done("disable", "--now", NAME, system=args.system)
    path.unlink()
    if BOOTED.exists():
        _done("daemon-reload", system=args.system)
    say(f"{path} is gone")
    return 0


def unit_path(*, system: bool) -> Path:
    """Return where the unit belongs: systemd.unit(5)."""
    if system:
        return Path("/etc/systemd/system") / NAME
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "systemd/user" / NAME


def _install(config: Path, path: Path, *, system: bool, only_print: bool) -> int:
    from kwspot.runtime.board.service_unit import unit
    from kwspot.runtime.files import whole_file

    config = config.absolute()
    # As a service whose user cannot read the file gets it: its passwords are for root alone.
    credential = system and config.exists() and _unreadable_part(config) is not None
    bundle = _check_settings(config, relative=not credential)
    python = Path(sys.executable).absolute()  # not resolved: a virtual environment is known by its link
    text = unit(python, config, system=system, credential=credential)
    if only_print:
        print(text, end="")
        return 0
    if system:
        if os.geteuid() != 0:
            raise ConfigError(f"{path} can be written by root alone; expected: sudo kwspot service install --system …")
        for file in (python, bundle):
            if (part := _unreadable_part(file)) is not None:
                raise ConfigError(
                    f"{file} cannot be reached by the service, because of {part}; expected it where all may read: "
                    "install kwspot in /opt/kwspot and keep its bundle in /etc, or leave out --system"
                )
    with whole_file(path) as beside:
        beside.write_text(text)
    say(f"{path} is written")
    scope = "" if system else "--user "
    if not BOOTED.exists():
        say(f"systemd does not run here; where it does: systemctl {scope}enable --now {NAME}")
        return 0
    _done("daemon-reload", system=system)
    _done("enable", NAME, system=system)
    _done("restart", NAME, system=system)
    say(f"it listens, also after a restart; its events: journalctl {scope}-fu {NAME}")
    if not system:
        say("to let it run while nobody is logged in: loginctl enable-linger")
    return 0


def _check_settings(config: Path, *, relative: bool) -> Path:
    """Read what the service is going to read, from the folder it runs in; return its bundle's ``bundle.json``."""
    from kwspot.runtime.listen.cli import check_config
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.sinks.mqtt_url import mqtt_address
    from kwspot.runtime.sinks.web_server import web_address
    from kwspot.runtime.wyoming.server import wyoming_address

    args = check_config(str(config))
    with contextlib.chdir(config.parent):
        bundle = load_bundle(args.bundle)
        for text, read in ((args.mqtt, mqtt_address), (args.web, web_address), (args.wyoming, wyoming_address)):
            if text:
                read(text)
        if not relative and (config.parent / args.bundle).exists() and not Path(args.bundle).is_absolute():
            raise ConfigError(
                f"{config}: bundle = {args.bundle!r} is found from the folder of this file, which the service may not "
                f"see; expected the whole path: {bundle.path.absolute()}"
            )
        return bundle.path.absolute() / "bundle.json"


def _unreadable_part(file: Path) -> Path | None:
    """Return what keeps the service from a file: its user is nobody in particular; None where nothing does."""
    for path in (file.resolve(), *file.resolve().parents):
        needed = stat.S_IXOTH if path.is_dir() else stat.S_IROTH
        if not path.stat().st_mode & needed or path in HIDDEN:
            return path
    return None


def _systemctl(*arguments: str, system: bool) -> int:
    if shutil.which("systemctl") is None:
        raise ConfigError("there is no systemctl; expected a machine with systemd: run kwspot listen in another way")
    return subprocess.run(["systemctl", *([] if system else ["--user"]), *arguments], check=False).returncode


def _done(*arguments: str, system: bool) -> None:
    if _systemctl(*arguments, system=system):
        raise ConfigError(
            f"systemctl {arguments[0]} failed, see above; expected it to succeed: journalctl -xe tells more"
        )
