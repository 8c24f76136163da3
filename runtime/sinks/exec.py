"""``--exec CMD …``: a program for each detection. No shell, a bounded number at once, a time limit each."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks.observer import SinkContext
from kwspot.runtime.sinks.queued import Event, QueuedSink, Undelivered

AT_ONCE = 4
TIME_LIMIT_S = 10.0
PLACES = ("label", "score", "at_s")
PLACE = re.compile(r"\{([a-z_]+)\}")
STANDARD_ERROR = 2  # the program's output too: standard output is for events

_GUARD = """
running=" "
while read -r what group; do
  case $what in
    started) running="$running$group " ;;
    ended) running="${running%% $group *} ${running#* $group }" ;;
  esac
done
for group in $running; do kill -9 "-$group"; done
"""
"""A shell that ends what runs when kwspot has gone, however it went; it costs a megabyte."""


class ExecSink(QueuedSink):
    """Starts a program for each detection and waits for its end.

    Parameters
    ----------
    arguments
        The program and its arguments; ``{label}``, ``{score}`` and ``{at_s}`` in
        them are replaced by what was heard.

    Raises
    ------
    ConfigError
        If there is no such program, or an argument names another place.
    """

    def __init__(
        self, arguments: Sequence[str], *, at_once: int = AT_ONCE, time_limit_s: float = TIME_LIMIT_S, room: int = 1000
    ) -> None:
        if not arguments:
            raise ConfigError("--exec has no command; expected a program and its arguments: --exec notify-send {label}")
        if shutil.which(arguments[0]) is None:
            raise ConfigError(
                f"--exec {arguments[0]}: no such program; expected one on the PATH, or a path to an executable file"
            )
        for name in PLACE.findall(" ".join(arguments)):
            if name not in PLACES:
                near = difflib.get_close_matches(name, PLACES, 1, 0)[0]
                raise ConfigError(
                    f"--exec: no place {{{name}}}; expected {{label}}, {{score}} or {{at_s}}, did you mean {{{near}}}?"
                )
        self._arguments = tuple(arguments)
        self._time_limit_s = time_limit_s
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        super().__init__("exec", workers=at_once, room=room)

    def wants(self, event: Event) -> bool:
        """Detections alone."""
        return event["event"] == "detection"

    def close(self, within_s: float = 2.0) -> None:
        """Wait for the programs, and end those that do not end in time."""
        super().close(within_s)
        self._guard.communicate()  # it has nothing left to do

    def _tell_guard(self, what: str, process: subprocess.Popen[bytes]) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):  # somebody has killed it: then it does not guard
            os.write(self._guard.stdin.fileno(), f"{what} {process.pid}\n".encode())

    def deliver(self, event: Event) -> None:
        """Run the program to its end, or to the time limit."""
        arguments = [_filled(argument, event) for argument in self._arguments]
        try:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=STANDARD_ERROR, start_new_session=True
            )
        except OSError as error:
            raise Undelivered(f"{arguments[0]} could not be started: {error.strerror}") from error
        self._tell_guard("started", process)
        try:
            self._wait(process, arguments[0])
        finally:
            self._tell_guard("ended", process)

    def _wait(self, process: subprocess.Popen[bytes], name: str) -> None:
        deadline = time.monotonic() + self._time_limit_s
        while (status := _status(process)) is None:
            if self.given_up.is_set() or time.monotonic() > deadline:
                _end(process)
                raise Undelivered(f"{name} was killed: still running after {self._time_limit_s:g} s or at the end")
        if status:
            self.say(f"{name} ended with status {status}")


def _filled(argument: str, event: Event) -> str:
    return PLACE.sub(lambda place: str(event[place[1]]), argument)


def _status(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(0.1)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with whatever it started: it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def open_sink(value: object, context: SinkContext) -> ExecSink:
    """Open what ``--exec PROGRAM ARGUMENT …`` asks for."""
    assert isinstance(value, list)
    return ExecSink(value)
