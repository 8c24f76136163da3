"""SIGHUP: the settings are read again, and listening goes on with them; or with those before, if they are wrong."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from kwspot.runtime.errors import KwspotError
from kwspot.runtime.listen.session import DONE, Session
from kwspot.runtime.listen.stopping import StopRequest
from kwspot.runtime.standard_streams import say


def listen_until_stopped(args: argparse.Namespace, read: Callable[[], argparse.Namespace], stop: StopRequest) -> int:
    """Listen as `args` say, and after a SIGHUP as what is read then says; returns the exit status.

    Raises
    ------
    KwspotError
        What is wrong with the settings at the start. Later it is said on standard
        error, and listening goes on as before.
    """
    before: argparse.Namespace | None = None
    while True:
        session, status = Session(args, stop), DONE
        try:
            status = session.run()
        except KwspotError as error:
            if session.started or before is None:
                raise
            _say(error)
            args, before = before, None
            continue
        if not stop.take_reload():
            return status
        before = args
        try:
            args = read()
        except KwspotError as error:
            _say(error)


def _say(error: KwspotError) -> None:
    say(f"{error}; going on with the settings before")
