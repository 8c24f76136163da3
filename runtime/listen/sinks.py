"""The sinks of ``kwspot listen``: one line each.

A sink is a module with ``open_sink(value, context)``, which returns an
:class:`kwspot.runtime.sinks.observer.Observer`; `value` is what its option was given.
"""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kwspot.runtime.sinks.observer import Observer, SinkContext

_PLACES = "{label}, {score}, {at_s}"

SINKS: dict[str, tuple[str, dict[str, Any]]] = {
    "meter": ("meter", {"action": "store_true", "help": "draw level, scores and lost sound on the terminal"}),
    "save-events": ("saved_events", {"metavar": "DIR", "help": "save the sound around the newest 1000 detections"}),
    "mqtt": ("mqtt", {"metavar": "URL", "help": "publish events: mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC]"}),
    "web": ("web_sink", {"metavar": "HOST:PORT", "help": "serve a live page to watch, as in 127.0.0.1:8765"}),
    "exec": (
        "exec",
        {
            "nargs": argparse.REMAINDER,
            "metavar": "CMD",
            "help": f"the last option: run a program for each detection; {_PLACES} in its arguments are replaced",
        },
    ),
}
"""Option → (module below ``kwspot.runtime.sinks``, how the option is written)."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option of each sink."""
    for option, (_, written) in SINKS.items():
        parser.add_argument(f"--{option}", **written)


def open_sinks(args: argparse.Namespace, context: SinkContext) -> list[Observer]:
    """Open the sinks that `args` ask for, and the service manager's if one has started us.

    Raises
    ------
    ConfigError
        If a receiver cannot be used as named; what was opened by then is closed.
    ModuleNotFoundError
        If its package is not installed.
    """
    from kwspot.runtime.sinks.systemd import ServiceManager

    manager = ServiceManager.from_environment()
    opened: list[Observer] = [] if manager is None else [manager]
    try:
        for option, (module, _) in SINKS.items():
            value = getattr(args, option.replace("-", "_"))
            if value is not None and value is not False:
                sink = importlib.import_module(f"kwspot.runtime.sinks.{module}").open_sink(value, context)
                opened.append(sink)
    except BaseException:
        for observer in opened:
            observer.close(0.0)
        raise
    return opened
