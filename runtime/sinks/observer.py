"""The base of all sinks: an observer gets every block with its scores, and every event."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    from kwspot.runtime.detect.spotter import KeywordSpotter

Event = Mapping[str, object]
"""One event as docs/events.md lists it: ``event``, ``time`` and the values of its kind."""


class Heard(NamedTuple):
    """A block of sound and what it gave."""

    block: NDArray[np.int16]
    """int16 (n,)."""
    end_sample: int
    """The sample clock just after the block."""
    scores: Sequence[tuple[int, NDArray[np.float32]]]
    """(at_sample, float32 (labels,)) of each inference that the block completed."""
    smoothed: Sequence[NDArray[np.float32] | None]
    """The decision's mean after each of `scores`, float32 (labels,); None where it has none yet. Empty where no sink
    has asked the spotter to keep it."""
    detections: Sequence[Detection]


class Observer:
    """Base of all sinks; each overrides what it needs.

    The loop that listens calls these methods, so they must neither wait nor raise.
    A sink that does I/O is a :class:`kwspot.runtime.sinks.queued.QueuedSink`.
    """

    name = ""
    """What reports and totals call it."""
    dropped = 0
    """Events that it did not deliver."""

    def put(self, event: Event) -> None:
        """Take an event."""

    def watch(self, heard: Heard) -> None:
        """Look at a block, before the next one is heard."""

    def alive(self) -> None:
        """Note that listening is in order; called several times a second, also while no sound comes."""

    def close(self, within_s: float = 2.0) -> None:
        """Deliver what is left within a time, and let everything go."""


@dataclasses.dataclass(frozen=True)
class SinkContext:
    """What a sink may need of the listening that it is opened for: the argument of every module's ``open_sink``."""

    spotter: KeywordSpotter | None
    """Of the one stream there is; None if there are several."""
    save_events: str | None
    """The folder of ``--save-events``."""
    cpu_s: Callable[[], float]
    """CPU seconds of all that listens, so far."""

    def one_spotter(self, option: str) -> KeywordSpotter:
        """Return the spotter for a sink that shows one stream."""
        if self.spotter is None:
            raise ConfigError(f"{option} is of one stream and --wyoming serves several; leave one of the two out")
        return self.spotter
