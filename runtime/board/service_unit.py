"""The systemd unit of a kwspot that listens by itself.

Everything it may not do is taken from it: of the devices it sees sound alone, the
file system is read-only but for its own state, and it gains no privileges.
"""

from __future__ import annotations

import re
from pathlib import Path

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.names import find_text_fault

CREDENTIAL = "kwspot.toml"
"""Name under which systemd hands the settings to a service that may not read them itself."""
WATCHDOG_S = 20
RESTART_S = 1
MEMORY_MAX = "256M"
"""Several times what listening with one engine takes; a leak ends in a restart, not in a board that swaps."""

_UNIT = """\
# Written by: kwspot service install
[Unit]
Description=kwspot, keyword spotting
After=sound.target network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={folder}
{credential}Restart=always
RestartSec={restart_s}
WatchdogSec={watchdog_s}
# A process that hangs need not be asked for a core dump.
WatchdogSignal=SIGKILL
TimeoutStopSec=5
MemoryMax={memory_max}
TasksMax=64
UMask=0077
NoNewPrivileges=yes
{sandbox}
[Install]
WantedBy={target}
"""

# What a user's own service manager can do without privileges.
_USER_SANDBOX = """\
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
"""

_SYSTEM_SANDBOX = (
    """\
DynamicUser=yes
SupplementaryGroups=audio
StateDirectory=kwspot
Environment=HOME=/var/lib/kwspot
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictNamespaces=yes
DevicePolicy=closed
DeviceAllow=char-alsa rw
"""
    + _USER_SANDBOX
)


def unit(python: Path, config: Path, *, system: bool, credential: bool = False) -> str:
    """Return the text of the unit.

    Parameters
    ----------
    python
        The interpreter that kwspot is installed for.
    config
        The file for ``kwspot listen --config``; its folder is the working folder.
    system
        Whether it is for the machine, as a user that exists only while it runs,
        or for the manager of the user who installs it.
    credential
        Whether systemd hands the file to the service: then root alone needs to be
        able to read it, and the working folder is the service's own.

    Raises
    ------
    ConfigError
        If a path cannot stand in a unit.
    """
    command = [str(python), "-m", "kwspot.runtime.cli", "listen", "--config"]
    words = [_quote(part) for part in command]
    words.append(f"%d/{CREDENTIAL}" if credential else _quote(str(config)))
    return _UNIT.format(
        command=" ".join(words),
        folder="%S/kwspot" if credential else _one_line(config.parent),
        credential=f"LoadCredential={CREDENTIAL}:{_one_line(config)}\n" if credential else "",
        restart_s=RESTART_S,
        watchdog_s=WATCHDOG_S,
        memory_max=MEMORY_MAX,
        sandbox=_SYSTEM_SANDBOX if system else _USER_SANDBOX,
        target="multi-user.target" if system else "default.target",
    )


def _one_line(path: Path) -> str:
    """Return a path as the rest of a line: nothing is expanded in it, and the line ends with it."""
    text = str(path)
    fault = find_text_fault(text)
    if fault is None and (text.strip() != text or text.endswith("\\")):
        fault = "it begins or ends with a blank, or ends with a backslash"
    if fault:
        raise ConfigError(f"{text!a} cannot stand in a systemd unit: {fault}; expected another path")
    return text.replace("%", "%%")


def _quote(part: str) -> str:
    """Return one argument as systemd.syntax(7) wants it, without expansion."""
    text = _one_line(Path(part)) if part.startswith("/") else part
    if re.fullmatch(r"[A-Za-z0-9_./:=@+-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'
