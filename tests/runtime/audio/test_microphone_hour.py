"""An hour of a microphone with a fault every minute, in simulated time: nothing unaccounted for, nothing grows.

Real are the recorder's callback, its queue (a socket), the microphone and its loop; simulated are the clock and
PortAudio's stream.
"""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from hearing import EventNotes

from kwspot.runtime.audio.capture import FAILED, FINISHED, OPENED, Recorder
from kwspot.runtime.audio.microphone import LAST_RETRY_S, OPENS_WITHIN_S, SILENT_AFTER_S, Microphone
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.listen.loop import listen
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.sinks.observer import Observer

RATE_HZ = 16_000
FAULTS = ("ends", "hangs", "does not open", "hangs in opening", "queue full", "overflow", "unflagged loss", "crashes")

STOPS_SILENTLY = ("hangs", "does not open", "hangs in opening")


class Status:
    def __init__(self, overflow: bool) -> None:
        self.input_overflow = overflow


class World:
    """The clock, the room with its sound, and what is wrong at the moment. Also its `CaptureProcesses`."""

    def __init__(self, device_rate_hz: int = RATE_HZ) -> None:
        self.now = 1000.0
        self.device_rate_hz = device_rate_hz
        self.block = device_rate_hz * 80 // 1000
        self.away_until = 0.0
        self.how = ""
        self.lose_s = 0.0
        self.flag_next = False
        self.stall_until = 0.0
        self.stop_at: float | None = None
        self.microphone: Microphone | None = None
        self.links: list[Link] = []
        self.opened = 0

    def now_s(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.stop_at is not None and self.now >= self.stop_at:
            self.microphone.stop()

    def open(self, device, rate_hz, channel):
        self.opened += 1
        return Link(self)


class Link:
    def __init__(self, world: World) -> None:
        self.world = world
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 30_000)
        self.ours.setblocking(False)
        self.recorder = Recorder(self.theirs, clock_ns=lambda: round(1e9 * world.now))
        self.next_block_s = world.now + world.block / world.device_rate_hz
        self.ended = False
        away = world.now < world.away_until
        if away and world.how == "does not open":
            self.theirs.send(FAILED + b"no such device")
            self.ended = True
        elif not (away and world.how == "hangs in opening"):
            opened = {"name": "mic", "host_api": "ALSA", "rate_hz": world.device_rate_hz, "channels": 1}
            self.theirs.send(OPENED + json.dumps(opened).encode())

    def play_until(self, until_s: float) -> None:
        """PortAudio's thread: a block at its time."""
        world = self.world
        while self.next_block_s <= until_s and not self.ended:
            world.now = max(world.now, self.next_block_s)
            if world.now < world.away_until:
                if world.how == "ends":
                    self.theirs.send(FINISHED)
                    self.ended = True
                elif world.how == "crashes":
                    self.theirs.close()
                    self.ended = True
                else:
                    self.next_block_s = world.away_until + world.block / world.device_rate_hz
                continue
            if world.lose_s:  # the device overwrites its buffer; what comes next is later
                self.next_block_s += world.lose_s
                world.lose_s = 0.0
                continue
            self.recorder.on_block(bytes(2 * world.block), world.block, None, Status(world.flag_next))
            world.flag_next = False
            self.next_block_s += world.block / world.device_rate_hz
        world.now = max(world.now, until_s)

    def receive(self, timeout_s: float) -> bytes | None:
        for advance in (False, True):
            if advance:
                until = self.world.now + timeout_s
                if not self.ended and self.next_block_s <= until:
                    until = self.next_block_s
                self.play_until(until)
                if self.world.stop_at is not None and self.world.now >= self.world.stop_at:
                    self.world.microphone.stop()
            try:
                return self.ours.recv(65_536)
            except BlockingIOError:
                continue
        return None

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
        self.ended = True

    def cpu_s(self) -> float:
        return 0.0


class Faults(Observer):
    """As the stream goes on, something fails each minute; then it is listened to for a while."""

    def __init__(self, world: World, minutes: int) -> None:
        self.world, self.minutes = world, minutes
        self.began = world.now
        self.done: list[tuple[str, float]] = []
        self.rss: list[int] = []
        self.threads: list[int] = []
        self.files: list[int] = []

    def watch(self, heard) -> None:
        world = self.world
        if world.now < self.began + 60 * (len(self.done) + 0.5):
            return
        if len(self.done) == self.minutes:
            world.microphone.stop()
            return
        self.rss.append(resident_kb())
        self.threads.append(threading.active_count())
        self.files.append(len(list(Path("/proc/self/fd").iterdir())))
        fault = FAULTS[len(self.done) % len(FAULTS)]
        lost_s = 0.25 + len(self.done) * 0.5 % 7  # never close to the 3 s after which a hang is noticed
        self.done.append((fault, lost_s))
        if fault in ("ends", "hangs", "does not open", "hangs in opening", "crashes"):
            world.how, world.away_until = fault, world.now + lost_s
        elif fault == "queue full":  # the consumer is busy while PortAudio goes on
            world.microphone._link.play_until(world.now + 3.0)
        else:
            world.lose_s, world.flag_next = 0.3 + lost_s / 4, fault == "overflow"


def resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError


def hear(world: World, bundle, watcher) -> list[dict]:
    notes = EventNotes()
    with Microphone(captures=world, rate_hz=RATE_HZ) as microphone:
        world.microphone = microphone
        listen(KeywordSpotter(bundle), microphone, EventWriter(RATE_HZ, [notes, watcher]), "simulated", finite=False)
    return notes.events


@pytest.mark.slow
def test_an_hour_with_a_fault_every_minute(tiny_bundle):
    world = World()
    faults = Faults(world, minutes=60)
    events = hear(world, tiny_bundle, faults)
    elapsed_s = world.now - faults.began
    assert elapsed_s > 3600
    kinds = [event["event"] for event in events]
    stop = events[-1]

    # Every sample of the hour is heard or accounted for: to one block, which the device holds at either end.
    assert abs(stop["samples"] - elapsed_s * RATE_HZ) <= 2 * world.block
    assert stop["lost_samples"] == sum(event["lost_samples"] for event in events if event["event"] == "gap")

    # Every fault has its event. A hang that ends before it is noticed is a gap that the clock finds.
    causes = [event["cause"] for event in events if event["event"] == "gap"]
    noticed = [lost_s for fault, lost_s in faults.done if fault in STOPS_SILENTLY and lost_s > SILENT_AFTER_S - 0.2]
    noticed += [lost_s for fault, lost_s in faults.done if fault in ("ends", "crashes")]
    assert kinds.count("device_lost") == kinds.count("device_back") == causes.count("device lost") == len(noticed)
    named = [fault for fault, _ in faults.done]
    assert causes.count("queue full") >= named.count("queue full")
    assert causes.count("overflow") == named.count("overflow")
    assert causes.count("clock") >= named.count("unflagged loss")
    assert len([kind for kind in kinds if kind == "gap"]) >= 60

    # Nothing grows: the first ten minutes warm up.
    assert set(faults.threads) == {threading.active_count()}
    assert max(faults.files[10:]) == min(faults.files[10:])
    assert max(faults.rss[10:]) - min(faults.rss[10:]) < 2_000


def test_the_same_through_a_48_khz_device(tiny_bundle):
    world = World(device_rate_hz=48_000)
    faults = Faults(world, minutes=8)
    events = hear(world, tiny_bundle, faults)
    elapsed_s = world.now - faults.began
    assert abs(events[-1]["samples"] - elapsed_s * RATE_HZ) <= 2 * 1280
    assert events[-1]["lost_samples"] > 0


class StopWhileAway(Observer):
    def __init__(self, world: World, how: str) -> None:
        self.world, self.how, self.began = world, how, world.now

    def watch(self, heard) -> None:
        world = self.world
        if not world.how and world.now > self.began + 5:
            world.how, world.away_until = self.how, world.now + 1e9
            world.stop_at = world.now + 100.1


def test_stopped_in_the_middle_of_an_outage_of_any_kind(tiny_bundle):
    for how in ("hangs", "does not open", "hangs in opening", "crashes"):
        world = World()
        events = hear(world, tiny_bundle, StopWhileAway(world, how))
        assert [event["event"] for event in events] == ["start", "device_lost", "gap", "stop"]
        # Within half a second, with all the time accounted for.
        assert world.now - world.stop_at < 0.5
        assert abs(events[-1]["samples"] - (world.now - 1000.0) * RATE_HZ) <= 2 * world.block
        # It has not been spinning.
        attempts = 100 / (LAST_RETRY_S if how == "does not open" else LAST_RETRY_S + SILENT_AFTER_S)
        assert world.opened < attempts + OPENS_WITHIN_S


def test_a_clock_that_drifts_and_callbacks_that_come_late_are_no_loss():
    from kwspot.runtime.audio.gaps import LostAudio

    rng = np.random.default_rng(3)
    for drift in (-3e-4, 3e-4):
        lost_audio = LostAudio(RATE_HZ)
        losses = []
        for k in range(20_000):
            late = rng.exponential(0.02) + (rng.uniform() < 0.02) * rng.uniform(0, 1.0)
            losses += lost_audio.take(1280 * k, 1280, (k + 1) * 0.08 * (1 + drift) + late, 0)
        assert losses == []


def test_a_loss_of_any_length_is_found_once_with_its_length():
    from kwspot.runtime.audio.gaps import LostAudio

    rng = np.random.default_rng(4)
    for lost_s, flag in ((0.1, False), (0.5, False), (0.03, True), (0.0001, True), (20.0, False)):
        lost_audio = LostAudio(RATE_HZ)
        losses = []
        for k in range(400):
            time_s = (k + 1) * 0.08 + (lost_s if k >= 200 else 0) + rng.exponential(0.01)
            losses += lost_audio.take(1280 * k, 1280, time_s, int(flag and k >= 200))
        (loss,) = losses
        assert loss.cause == ("overflow" if flag else "clock")
        assert abs(loss.frames - lost_s * RATE_HZ) < 0.01 * RATE_HZ
