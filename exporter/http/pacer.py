"""Decide *when* a request may start. Pure arithmetic: the caller owns the clock.

A slot opens `1 / rate` after the last request really left, plus a safety margin for what the network and the server's
clock do to the gap on the way. A refusal costs a whole gap, a margin milliseconds: so the margin starts above zero,
grows with each refusal and shrinks the faster the longer none comes. Nothing is booked beforehand: whatever moves the
last departure, the margin or the pause moves every slot after it. Times are seconds on one monotonic clock, durations
are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

UNPACED = 1_000.0
"""Above this many requests a second no slot sleeps: timers are coarser than the gap."""

FIRST_MARGIN = 0.015
FIRST_MARGIN_SHARE = 0.015
"""The margin starts at the smaller of 15 ms and 1.5% of the gap."""

SMALLEST_MARGIN_SHARE = 0.001
LEARNING = 8
"""A refusal within this many requests of the last one shows that the margin is far from enough."""
GROWTH_LEARNING = 1.5
GROWTH = 1.15
SHRINKING = 3e-6
"""The n-th request in a row that is not refused takes n times this share off the margin."""

LONGEST_PAUSE = 60.0
"""Refusals in a row double the pause, up to this many seconds."""
PERSISTENT = 6
"""This many refusals in a row, or a margin as wide as the gap itself, are not ours to cure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaceStatistics:
    """What a pacer has learned. `margin` is in seconds."""

    departures: int
    refusals: int
    margin: float
    persistent: bool
    sending_seconds: float
    """From the first departure to the last."""


@dataclass(slots=True)
class Pacer:
    """Slots for requests that share one rate limit of `rate` a second."""

    rate: float
    gap: float = field(init=False)
    margin: float = field(init=False)
    unpaced: bool = field(init=False)
    departures: int = field(default=0, init=False)
    _first: float | None = field(default=None, init=False)
    _last: float = field(default=-math.inf, init=False)
    _paused_until: float = field(default=-math.inf, init=False)
    _grown_at: float = field(default=-math.inf, init=False)
    _quiet: int = field(default=0, init=False)
    _in_a_row: int = field(default=0, init=False)
    _refusals: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.unpaced = self.rate > UNPACED
        self.gap = 1 / self.rate
        self.margin = min(FIRST_MARGIN, FIRST_MARGIN_SHARE * self.gap)

    def slot(self) -> float:
        """Return the moment from which the next request may leave; it may be in the past."""
        if self.unpaced:
            return self._paused_until
        return max(self._last + self.gap + self.margin, self._paused_until)

    def left(self, at: float) -> None:
        """Count a request that left."""
        self._first = at if self._first is None else self._first
        self._last = max(self._last, at)
        self.departures += 1

    def pause(self, until: float) -> None:
        """Let nothing leave before a moment."""
        self._paused_until = max(self._paused_until, until)

    def accepted(self) -> None:
        """Learn from a request that was not refused."""
        self._quiet += 1
        self._in_a_row = 0
        self.margin = max(self.margin * (1 - min(0.5, SHRINKING * self._quiet)), SMALLEST_MARGIN_SHARE * self.gap)

    def refused(
        self, now: float, *, left_at: float, retry_after: float | None = None, longest: float = math.inf
    ) -> float:
        """Learn from a request that left at `left_at` and was refused; return the seconds until the next slot.

        Several that were under way together teach one lesson, not several. No pause is longer than `longest` seconds.
        """
        self._refusals += 1
        if left_at >= self._grown_at:
            self._grown_at = now
            self._in_a_row += 1
            self.margin = min(self.margin * (GROWTH_LEARNING if self._quiet < LEARNING else GROWTH), self.gap)
            self._quiet = 0
            if self._in_a_row > 1:
                self.pause(now + min(longest, LONGEST_PAUSE, self.gap * 2.0 ** min(self._in_a_row - 2, 60)))
        if retry_after is not None:
            self.pause(now + min(longest, retry_after))
        return max(0.0, self.slot() - now)

    @property
    def persistent(self) -> bool:
        """Refusals continue although the pace is right: somebody else seems to use the key."""
        return self._in_a_row >= PERSISTENT or self.margin >= self.gap

    def statistics(self) -> PaceStatistics:
        """Return what was counted and learned so far."""
        return PaceStatistics(
            departures=self.departures,
            refusals=self._refusals,
            margin=self.margin,
            persistent=self.persistent,
            sending_seconds=0.0 if self._first is None else self._last - self._first,
        )
