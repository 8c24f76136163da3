"""Finding the sound that a microphone lost: by the queue, by PortAudio's flag, by the clock."""

from __future__ import annotations

import dataclasses

WINDOW_S = 2.0
"""Over so long at least one block arrives promptly, however busy the machine is."""

LEAST_LOSS_S = 0.08
"""What the clock alone takes for a loss: one block."""

LEAST_FLAGGED_LOSS_S = 0.005
"""What it takes for one after PortAudio has flagged an overflow."""

DRIFT = 0.001
"""How much slower than the monotonic clock a sound card may run; cheap ones differ by a tenth of this."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """So many frames are missing; `cause` is "queue full", "overflow" or "clock"."""

    frames: int
    cause: str


class LostAudio:
    """Watches the blocks of one stream.

    A full queue is exact: the recorder counts the frames it was given. For the rest,
    block ``k`` arrives at ``time_s[k]``, and ``time_s[k] - frames_until[k] / rate_hz``
    is the same for all blocks but for delays, which are never negative, and for the
    difference of two clocks, which is slow. Its least value over a window sees neither;
    where that rises at once, frames are missing. Found so at most two windows after
    the loss, and put into the stream there.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._frames_expected = 0
        self._lost_by_device = 0
        self._overflows = 0
        self._flagged = False
        self._usual_s: float | None = None
        self._window_start_s: float | None = None
        self._window_least_s = 0.0

    def take(self, frames_before: int, frames: int, time_s: float, overflows: int) -> list[Loss]:
        """A block has arrived; returns what is missing before it.

        Parameters
        ----------
        frames_before
            That the device has delivered before this block, queued or not.
        overflows
            That PortAudio has flagged so far.
        """
        losses = []
        if frames_before > self._frames_expected:
            losses.append(Loss(frames_before - self._frames_expected, "queue full"))
        self._frames_expected = frames_before + frames
        late_s = time_s - (self._frames_expected + self._lost_by_device) / self._rate_hz
        if overflows != self._overflows:
            self._overflows = overflows
            self._flagged = True
            # All blocks of the window are to be from after the loss.
            self._window_start_s = None
        if self._window_start_s is None:
            self._window_start_s, self._window_least_s = time_s, late_s
        self._window_least_s = min(self._window_least_s, late_s)
        window_s = time_s - self._window_start_s
        if window_s >= WINDOW_S:
            losses += self._by_clock(window_s)
            self._window_start_s = None
        return losses

    def _by_clock(self, window_s: float) -> list[Loss]:
        flagged, self._flagged = self._flagged, False
        if self._usual_s is None:
            self._usual_s = self._window_least_s
        missing_s = self._window_least_s - self._usual_s
        if missing_s > (LEAST_FLAGGED_LOSS_S if flagged else LEAST_LOSS_S):
            frames = round(missing_s * self._rate_hz)
        elif flagged:
            # Less than can be measured, yet PortAudio says there is one.
            frames = 1
        else:
            self._usual_s = min(self._window_least_s, self._usual_s + DRIFT * window_s)
            return []
        self._lost_by_device += frames
        return [Loss(frames, "overflow" if flagged else "clock")]
