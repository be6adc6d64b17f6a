"""Let requests leave one by one: refused ones first, urgent ones next, the rest in the order of asking.

A turn is admitted when there is room in flight and its slot is near, gets a connection, becomes ready, leaves when the
slot opens, and ends with its answer. So no connection set-up eats into the gap, and no slow answer holds the next slot.
The logic is in synchronous methods; the coroutines merely wait.
"""

from __future__ import annotations

import asyncio
import math
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Protocol, Self

from exporter.http.concurrency import Concurrency
from exporter.http.pacer import Pacer

REFUSED, URGENT, NORMAL = range(3)

SHORTEST_LEAD = 0.005
LONGEST_LEAD = 2.0
LEAD_DECAY = 0.99
"""A turn is admitted this long before its slot: the slowest connection set-up of late, forgotten slowly."""


TELL_AGAIN = 0.005
"""Seconds until a pause is told again to the other processes, when one of them was just leaving."""


class SharedPace(Protocol):
    """The pace shared with other processes."""

    def take(self, now: float) -> float:
        """Try to take the slot for this process; return the moment at which it is worth trying again, or `now`."""

    def left(self, at: float) -> None:
        """Tell that the request left, and let the others go on."""

    def pause(self, until: float) -> bool:
        """Let nobody leave before a moment; return whether the others could be told."""

    def close(self) -> None:
        """Let go of what is shared."""


class Permit:
    """The right to send one request once. An async context manager that spans the attempt."""

    __slots__ = ("_admitted_at", "_line", "_state", "_wake", "in_flight", "left_at", "order")

    def __init__(self, line: PermitQueue, order: tuple[int, int, int]) -> None:
        self._line = line
        self._state = _WAITING
        self._wake: asyncio.Future[None] | None = None
        self._admitted_at = math.nan
        self.order = order
        self.in_flight = 0
        """How many were in flight when it left, itself included."""
        self.left_at: float | None = None

    def __lt__(self, other: Permit) -> bool:
        return self.order < other.order

    async def __aenter__(self) -> Self:
        try:
            await self._reach(_ADMITTED)
        except BaseException:
            self._line.end(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._line.end(self)

    async def come(self) -> None:
        """Wait for the slot; called with the connection at hand. What is written next leaves in it."""
        await self._reach(_GRANTED)

    def left(self) -> None:
        """Tell that the bytes are on their way."""
        self._line.left(self)

    async def _reach(self, state: int) -> None:
        self._line.queue(self)
        if self._state < state:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def _enter(self, state: int) -> None:
        self._state = state
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


_WAITING, _ADMITTED, _READY, _GRANTED, _LEFT, _ENDED = range(6)


class PermitQueue:
    """All the turns of one client.

    Timers of a real loop are up to a millisecond late, which at 20 requests a second is 2%. `early` seconds before a
    slot the wait goes on in the loop's own turns: nobody else is held up, the slot is met.
    """

    def __init__(
        self, pacer: Pacer, concurrency: Concurrency, shared: SharedPace | None = None, *, early: float = 0.0
    ) -> None:
        self._pacer = pacer
        self._concurrency = concurrency
        self._shared = shared
        self._shared_slot = -math.inf
        self._early = early
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Permit] = []
        self._ready: list[Permit] = []
        self._leaving: Permit | None = None
        self._staged = 0
        self._numbers = count()
        self._lead = SHORTEST_LEAD
        self._timer: asyncio.Handle | None = None
        self.in_flight = 0

    def permit(self, kind: int, place: int) -> Permit:
        """Return a turn to be entered; of one kind, the smaller place goes first."""
        return Permit(self, (kind, place, next(self._numbers)))

    def queue(self, permit: Permit) -> None:
        """Let a new turn wait for admission, an admitted one for its slot."""
        if permit._state == _WAITING:
            heappush(self._waiting, permit)
        else:
            permit._state = _READY
            heappush(self._ready, permit)
            took = self._loop.time() - permit._admitted_at
            self._lead = max(min(took, LONGEST_LEAD), self._lead * LEAD_DECAY, SHORTEST_LEAD)
        self.advance()

    def left(self, permit: Permit) -> None:
        """Count from the moment at which the bytes went out."""
        if permit._state != _GRANTED:
            return
        now = self._loop.time()
        permit._state = _LEFT
        permit.left_at = now
        permit.in_flight = self.in_flight
        self._staged -= 1
        self._pacer.left(now)
        if self._leaving is permit:
            self._leaving = None
            if self._shared is not None:
                self._shared.left(now)
        self.advance()

    def end(self, permit: Permit) -> None:
        """Free what a turn held, wherever it stands."""
        if permit._state == _GRANTED:
            self.left(permit)  # its bytes may be under way
        if permit._state in {_ADMITTED, _READY}:
            self._staged -= 1
        if permit._state not in {_WAITING, _ENDED}:
            self.in_flight -= 1
        permit._state = _ENDED
        self._loop.call_soon(self.advance)  # not at once: a refused request must first be back in the queue

    def refused(self, permit: Permit, retry_after: float | None) -> float:
        """Learn from a refusal; return the seconds until the next slot."""
        now = self._loop.time()
        left_at = now if permit.left_at is None else permit.left_at
        pause = self._pacer.refused(now, left_at=left_at, retry_after=retry_after)
        self.pause(now + pause)
        return pause

    def pause(self, until: float) -> None:
        """Let nothing leave before a moment, from no process that shares the pace."""
        self._pacer.pause(until)
        if self._shared is not None and not self._shared.pause(until):
            self._loop.call_later(TELL_AGAIN, self.pause, until)

    def advance(self) -> None:
        """Admit and let go whoever may, and come again when the next one may."""
        now = self._loop.time()
        slot = self._pacer.slot()
        wake = min(self._admit(now, slot), self._let_go(now, slot))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake - now <= self._early:
            self._timer = self._loop.call_soon(self.advance)
        elif wake < math.inf:
            self._timer = self._loop.call_at(wake - self._early, self.advance)

    def _admit(self, now: float, slot: float) -> float:
        while self._waiting:
            permit = self._waiting[0]
            if permit._state == _WAITING:
                if self.in_flight >= self._concurrency.limit:
                    break
                due = slot - self._lead
                if not self._pacer.unpaced:
                    due += self._staged * self._pacer.gap
                if due > now:
                    return due
                self.in_flight += 1
                self._staged += 1
                permit._admitted_at = now
                permit._enter(_ADMITTED)
            heappop(self._waiting)
        return math.inf

    def _let_go(self, now: float, slot: float) -> float:
        while self._ready and self._leaving is None:
            permit = self._ready[0]
            if permit._state == _READY:
                if max(slot, self._shared_slot) > now:
                    return max(slot, self._shared_slot)
                if self._shared is not None and (again := self._shared.take(now)) > now:
                    self._shared_slot = again
                    return again
                if not self._pacer.unpaced:
                    self._leaving = permit
                permit._enter(_GRANTED)
            heappop(self._ready)
        return math.inf

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
