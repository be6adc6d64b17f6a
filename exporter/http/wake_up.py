"""Wake any number of request queues by one timer of the event loop.

Timers of a real loop are up to a millisecond late, which at 20 requests a second is 2%. `early` seconds before a moment
that has to be met exactly the wait continues in the loop's own iterations: nothing else is held up, the moment is met.
However many queues wait, there is one timer, and one such wait at most.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

NO_ENTRY = -1


class WakeUp:
    """The timer that queues share. `early` is in seconds; moments are those of the loop's clock."""

    def __init__(self, *, early: float = 0.0) -> None:
        self._early = early
        self._loop = asyncio.get_running_loop()
        self._entries: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf

    def alarm(self, ring: Callable[[], None], *, exact: bool = False) -> Alarm:
        """Return an alarm that is not set yet; only an `exact` one is worth waiting for in the loop's iterations."""
        return Alarm(self, ring, self._early if exact else 0.0)

    def add(self, alarm: Alarm) -> None:
        """Take an alarm that was set; its earlier entries count no more."""
        alarm.entry = next(self._numbers)
        heappush(self._entries, (alarm.start, alarm.entry, alarm))
        if alarm.start < self._timer_at:
            self.arm()

    def arm(self) -> None:
        """Let the timer go off for the first alarm that is still set so."""
        while self._entries and self._entries[0][1] != self._entries[0][2].entry:
            heappop(self._entries)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = self._entries[0][0] if self._entries else math.inf
        if self._timer_at <= self._loop.time():
            self._timer = self._loop.call_soon(self._ring)
        elif self._timer_at < math.inf:
            self._timer = self._loop.call_at(self._timer_at, self._ring)

    def _ring(self) -> None:
        """Ring the alarms whose moment has come; what is only near stays."""
        now = self._loop.time()
        due: list[tuple[float, int, Alarm]] = []
        near: list[tuple[float, int, Alarm]] = []
        while self._entries and self._entries[0][0] <= now:
            entry = heappop(self._entries)
            if entry[1] == entry[2].entry:
                (due if entry[2].moment <= now else near).append(entry)
        for entry in near:
            heappush(self._entries, entry)
        self._timer_at = -math.inf  # what rings sets alarms: the timer is armed once, below
        try:
            for _, _, alarm in due:
                alarm.ring()
        finally:
            self.arm()


class Alarm:
    """One moment at which a queue wants to be woken; setting it again moves it."""

    __slots__ = ("_early", "_ring", "_wake_up", "entry", "moment")

    def __init__(self, wake_up: WakeUp, ring: Callable[[], None], early: float) -> None:
        self._wake_up = wake_up
        self._ring = ring
        self._early = early
        self.moment = math.inf
        self.entry = NO_ENTRY
        """Its place among the alarms that are set."""

    @property
    def start(self) -> float:
        """When the wait for the moment becomes a wait in the loop's iterations."""
        return self.moment - self._early

    def set(self, moment: float) -> None:
        """Ring at a moment, and at no other; math.inf: not at all."""
        if moment != self.moment:
            self.moment = moment
            if moment < math.inf:
                self._wake_up.add(self)
            else:
                self.entry = NO_ENTRY
                self._wake_up.arm()

    def ring(self) -> None:
        """Wake the queue; the alarm is not set any more."""
        self.moment = math.inf
        self.entry = NO_ENTRY
        self._ring()
