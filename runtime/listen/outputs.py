"""Where ``kwspot listen`` sends its events besides standard output: the options, and what they open."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    from kwspot.runtime.detect.spotter import KeywordSpotter
    from kwspot.runtime.listen.loop import Watcher
    from kwspot.runtime.sinks.events import EventSink
    from kwspot.runtime.sinks.systemd import ServiceManager
    from kwspot.runtime.sinks.web_feed import WebFeed

DELIVERS_WITHIN_S = 0.3
"""What is queued when listening is stopped."""
DELIVERS_FILE_WITHIN_S = 60.0
"""What is queued at the end of a file, which is heard faster than any program can take its events."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that name a receiver."""
    parser.add_argument("--mqtt", metavar="URL", help="a broker: mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC]")
    parser.add_argument(
        "--web", metavar="HOST:PORT", help="a live page to watch, mark and set thresholds: 127.0.0.1:8765"
    )
    parser.add_argument("--config", metavar="FILE.toml", help="these options from a file; read again on SIGHUP")
    parser.add_argument(
        "--exec",
        nargs=argparse.REMAINDER,
        metavar="CMD",
        help="the last option: a program, and arguments with {label}, {score}, {at_s}, for each detection",
    )


class Outputs:
    """The sinks and watchers that were asked for."""

    def __init__(self) -> None:
        self.sinks: list[EventSink] = []
        self.watchers: list[Watcher] = []
        self.manager: ServiceManager | None = None

    def alive(self) -> None:
        """Whatever listens says now and then that it does, to the service manager."""
        if self.manager is not None:
            self.manager.alive()


@contextlib.contextmanager
def opened(args: argparse.Namespace, spotter: KeywordSpotter | None, *, live: bool) -> Iterator[Outputs]:
    """Open what `args` names, and close it with what is queued delivered.

    Parameters
    ----------
    spotter
        Of the one stream there is; None if there are several.
    live
        Whether sound comes at its own pace: then nobody waits long at the end.

    Raises
    ------
    ConfigError
        If a receiver cannot be used as named.
    ModuleNotFoundError
        If its package is not installed.
    """
    from kwspot.runtime.sinks.queued import QueuedSink
    from kwspot.runtime.sinks.systemd import ServiceManager

    outputs = Outputs()
    queued: list[QueuedSink] = []
    with contextlib.ExitStack() as stack:
        if (manager := ServiceManager.from_environment()) is not None:
            outputs.manager = manager
            outputs.sinks.append(manager)
            outputs.watchers.append(manager)
            stack.callback(manager.close)
        if args.web:
            if spotter is None:
                raise ConfigError("--web shows one stream and --wyoming serves several; expected one of the two")
            feed = stack.enter_context(_web(args, spotter))
            outputs.sinks.append(feed)
            outputs.watchers.append(feed)
        if args.exec is not None:
            from kwspot.runtime.sinks.exec import ExecSink

            queued.append(ExecSink(args.exec))
        if args.mqtt:
            from kwspot.runtime.sinks.mqtt import MqttSink
            from kwspot.runtime.sinks.mqtt_url import mqtt_address

            queued.append(MqttSink(mqtt_address(args.mqtt)))
        outputs.sinks += queued
        within_s = DELIVERS_WITHIN_S
        try:
            yield outputs
            if not live:
                within_s = DELIVERS_FILE_WITHIN_S
        finally:
            for sink in queued:
                sink.close(within_s)


@contextlib.contextmanager
def _web(args: argparse.Namespace, spotter: KeywordSpotter) -> Iterator[WebFeed]:
    import ipaddress

    from kwspot.runtime.sinks.saved_sounds import SavedSounds
    from kwspot.runtime.sinks.web_feed import WebFeed
    from kwspot.runtime.sinks.web_server import WebServer, web_address

    host, port = web_address(args.web)
    folder = args.save_events
    feed = WebFeed(spotter)
    server = WebServer(host, port, feed, SavedSounds(folder) if folder else None)
    print(f"kwspot: the page to watch is {server.url}", file=sys.stderr)
    with contextlib.suppress(ValueError):
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            print("kwspot: it is open to the network: whoever reaches it may hear and steer", file=sys.stderr)
    try:
        yield feed
    finally:
        feed.close()
        server.close()
