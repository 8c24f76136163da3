"""``kwspot listen --web HOST:PORT``: the feed of what is heard, and the server that shows it."""

from __future__ import annotations

from kwspot.runtime.address import is_open_to_network
from kwspot.runtime.sinks.observer import SinkContext
from kwspot.runtime.sinks.saved_sounds import SavedSounds
from kwspot.runtime.sinks.web_feed import WebFeed
from kwspot.runtime.sinks.web_server import WebServer, web_address
from kwspot.runtime.standard_streams import say


class WebPage(WebFeed):
    """A feed with a server of its own."""

    def __init__(self, address: str, context: SinkContext) -> None:
        host, port = web_address(address)
        super().__init__(context.one_spotter("--web"))
        saved = SavedSounds(context.save_events) if context.save_events else None
        try:
            self._server = WebServer(host, port, self, saved)
        except BaseException:
            super().close()
            raise
        say(f"the page to watch is {self._server.url}")
        if is_open_to_network(host):
            say("it is open to the network: whoever reaches it may hear and steer")

    def close(self, within_s: float = 2.0) -> None:
        """Let the viewers go, and serve no more."""
        super().close(within_s)
        self._server.close()


def open_sink(value: object, context: SinkContext) -> WebPage:
    """Open what ``--web HOST:PORT`` asks for."""
    return WebPage(str(value), context)
