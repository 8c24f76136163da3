"""One stretch of listening, from settings to their end: opens what they name, listens, and closes it all."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from kwspot.runtime.audio.options import device_of
from kwspot.runtime.audio.sources import raw_blocks, wav_blocks
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import KwspotError
from kwspot.runtime.listen.loop import listen
from kwspot.runtime.listen.sinks import open_sinks
from kwspot.runtime.listen.stopping import InterruptibleInput, Stopped, StopRequest
from kwspot.runtime.model.bundle import load_bundle
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.sinks.json_lines import JsonLines
from kwspot.runtime.sinks.meter import Meter
from kwspot.runtime.sinks.observer import Event, Observer, SinkContext
from kwspot.runtime.sinks.queued import STOPS_WITHIN_S, QueuedSink
from kwspot.runtime.standard_streams import STDIN, is_same_terminal, say

if TYPE_CHECKING:
    from kwspot.runtime.audio.microphone import Microphone

DONE, SOME_FILES_FAILED = 0, 2


class Session:
    """Listens once, as `args` say.

    Parameters
    ----------
    args
        As :func:`kwspot.runtime.listen.cli.read_arguments` checks them.
    """

    def __init__(self, args: argparse.Namespace, stop: StopRequest) -> None:
        self._args, self._stop = args, stop
        self.started = False
        """Whether a stream has begun, so that the settings can be used."""

    def run(self) -> int:
        """Listen to the end or to a request; returns the exit status.

        Raises
        ------
        KwspotError
            What the user can mend in the settings, the bundle or the sound.
        OSError
            Why standard output takes nothing more.
        """
        args, status = self._args, DONE
        bundle = load_bundle(args.bundle)
        self._rate_hz = bundle.manifest.features.sample_rate_hz

        def new_spotter() -> KeywordSpotter:
            return KeywordSpotter(bundle, engine=args.engine, thresholds=args.threshold, gate_db=args.gate)

        with contextlib.ExitStack() as stack:
            if args.wyoming:
                self._serve(stack, new_spotter)
                return status
            microphone = None
            if not (args.wav or args.stdin):
                from kwspot.runtime.audio.microphone import Microphone

                # It opens while the engine is loaded.
                microphone = Microphone(device_of(args.device), rate_hz=self._rate_hz, channel=args.channel)
                stack.enter_context(microphone)
                stack.enter_context(self._stop.calling(microphone.stop))
            spotter = new_spotter()
            events = stack.enter_context(self._observed(spotter, microphone))
            if args.wav:
                status = self._hear_files(spotter, events)
            elif args.stdin:
                sound = cast(BinaryIO, InterruptibleInput(STDIN, self._stop))
                with self._stop.breaking_off():
                    listen(spotter, raw_blocks(sound), events, "stdin", finite=True)
            elif microphone is not None:
                microphone.alive = events.alive
                microphone.wait_until_open()
                with self._stop.breaking_off():
                    listen(spotter, microphone, events, args.device or "microphone", finite=False)
        return status

    def _hear_files(self, spotter: KeywordSpotter, events: EventWriter) -> int:
        """Listen to each file; report one that cannot be read, and go on with the next."""
        status = DONE
        for path in self._args.wav:
            try:
                with self._stop.breaking_off():
                    blocks = self._stop.until(wav_blocks(path, rate_hz=self._rate_hz))
                    listen(spotter, blocks, events, path, finite=True)
            except KwspotError as error:
                say(str(error))
                status = SOME_FILES_FAILED
            except OSError as error:
                say(f"{path}: {error.strerror or error}; expected a sound file: check the path")
                status = SOME_FILES_FAILED
        return status

    def _serve(self, stack: contextlib.ExitStack, new_spotter: Callable[[], KeywordSpotter]) -> None:
        from kwspot.runtime.wyoming.server import WyomingServer, wyoming_address

        address = wyoming_address(self._args.wyoming)
        events = stack.enter_context(self._observed(None, None))
        server = WyomingServer(*address, new_spotter, events, alive=events.alive)

        def stop_server() -> None:
            with contextlib.suppress(RuntimeError):  # its loop has just ended
                server.stop()

        stack.enter_context(self._stop.calling(stop_server))
        server.run()

    @contextlib.contextmanager
    def _observed(self, spotter: KeywordSpotter | None, microphone: Microphone | None) -> Iterator[EventWriter]:
        """Open standard output and the sinks, and close them with what is queued delivered."""
        args = self._args

        def cpu_s() -> float:
            return time.process_time() + (0.0 if microphone is None else microphone.cpu_s())

        sinks = open_sinks(args, SinkContext(spotter, args.save_events, cpu_s))
        meters = [sink for sink in sinks if isinstance(sink, Meter)] if is_same_terminal() else []
        output = JsonLines(on_failure=self._stop.request, write=meters[0].print_above if meters else None)
        observers = [output, _Announcement(args), *sinks]
        # A file waits for whoever is slow; a microphone does not, nor does what another program records.
        sound_waits = bool(args.wav) or (args.stdin and _is_file(STDIN))
        for observer in observers:
            if isinstance(observer, QueuedSink):
                observer.stopping, observer.sound_waits = self._stop.event, sound_waits
        events = EventWriter(self._rate_hz, observers)
        within_s = STOPS_WITHIN_S
        try:
            yield events
            if sound_waits:
                within_s = QueuedSink.patience_s
        except Stopped:
            pass
        finally:
            self.started = events.started
            output.close(output.patience_s)
            until_s = time.monotonic() + within_s
            for sink in sinks:
                sink.close(max(0.0, until_s - time.monotonic()))
        if output.failure is not None:
            raise output.failure


class _Announcement(Observer):
    """Says for people, once, what is listened to and with what."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._more_files = len(args.wav or ()) - 1
        self._said = False

    def put(self, event: Event) -> None:
        if event["event"] != "start" or self._said:
            return
        self._said = True
        words = event["words"]
        assert isinstance(words, Sequence)
        more = f" and {self._more_files} more" if self._more_files > 0 else ""
        say(
            f"listening to {event['source']}{more} for {', '.join(words)} "
            f"(bundle {event['bundle']}, engine {event['engine']})"
        )


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def listen_until_stopped(args: argparse.Namespace, read: Callable[[], argparse.Namespace], stop: StopRequest) -> int:
    """Listen as `args` say, and after a SIGHUP as what is read then says; return the exit status.

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
            say(f"{error}; going on with the settings before")
            args, before = before, None
            continue
        if not stop.take_reload():
            return status
        before = args
        try:
            args = read()
        except KwspotError as error:
            say(f"{error}; going on with the settings before")
