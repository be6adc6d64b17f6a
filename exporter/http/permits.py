"""Let requests leave one by one: refused ones first, urgent ones next, the rest in the order of asking.

A permit is admitted when one more may be in flight and its slot is near, gets a connection, becomes ready, is granted
and leaves when the slot opens, and ends with its answer. So no connection set-up eats into the gap, and no slow answer
holds the next slot. The logic is in synchronous methods; the coroutines merely wait.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from enum import IntEnum
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Protocol, Self

from exporter.http.concurrency import Concurrency
from exporter.http.pacer import Pacer
from exporter.http.wake_up import WakeUp

SHORT_GAP = 0.5
"""Seconds between slots below which a timer's millisecond matters."""

SHORTEST_LEAD = 0.005
LONGEST_LEAD = 2.0
LEAD_KEPT = 0.8
"""A permit is admitted this long before its slot: the slowest connection set-up of late, of which this share is kept a
second. After a long gap nothing is lost by the time that a connection takes which is open already, so that lead may be
shorter: a request then wakes the process once, not twice."""

SHARE_AGAIN = 0.005
"""Seconds until a pause is shared again with the other processes, when one of them was just leaving."""

LONG_WAIT = 5.0
"""Seconds beyond the usual wait for a slot that a user should know of."""


class Priority(IntEnum):
    """Who goes first: the smaller number."""

    REFUSED = 0
    URGENT = 1
    NORMAL = 2


class State(IntEnum):
    """The states of a permit, in the order in which it goes through them; it may end in any."""

    WAITING = 0
    """In the queue."""
    ADMITTED = 1
    """Gets its connection."""
    READY = 2
    """Has it, and waits for the slot."""
    GRANTED = 3
    """May leave now."""
    LEFT = 4
    """Is in flight."""
    ENDED = 5


class SharedPace(Protocol):
    """The pace shared with other processes."""

    def take(self, now: float) -> float:
        """Try to take the slot for this process; return the moment at which it is worth trying again, or `now`."""

    def left(self, at: float) -> None:
        """Record that the request left, and free the slots after it."""

    def pause(self, until: float) -> bool:
        """Let nobody leave before a moment; return whether the others could be informed."""

    def close(self) -> None:
        """Let go of what is shared."""


class Permit:
    """The right to send one request once. An async context manager that spans the attempt."""

    __slots__ = ("_queue", "_wake", "admitted_at", "in_flight", "left_at", "order", "state")

    def __init__(self, queue: PermitQueue, order: tuple[int, int, int]) -> None:
        self._queue = queue
        self._wake: asyncio.Future[None] | None = None
        self.state = State.WAITING
        self.order = order
        self.admitted_at = math.nan
        self.in_flight = 0
        """How many were in flight when it left, itself included."""
        self.left_at: float | None = None

    def __lt__(self, other: Permit) -> bool:
        return self.order < other.order

    async def __aenter__(self) -> Self:
        try:
            await self._reach(State.ADMITTED)
        except BaseException:
            self._queue.end(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._queue.end(self)

    async def come(self) -> None:
        """Wait for the slot; called with the connection ready. What is written next leaves in it."""
        await self._reach(State.GRANTED)

    def left(self) -> None:
        """Record that the bytes are on their way."""
        self._queue.left(self)

    async def _reach(self, state: State) -> None:
        self._queue.queue(self)
        if self.state < state:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def enter(self, state: State) -> None:
        """Move on to a state, and wake whoever waits for it."""
        self.state = state
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class PermitQueue:
    """All the permits of one client.

    `wake_up` may be shared with other queues; `on_wait` is called with the seconds when a wait is longer than usual.
    """

    def __init__(
        self,
        pacer: Pacer,
        concurrency: Concurrency,
        shared: SharedPace | None = None,
        *,
        wake_up: WakeUp | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        self._pacer = pacer
        self._concurrency = concurrency
        self._shared = shared
        self._shared_slot = -math.inf
        self._loop = asyncio.get_running_loop()
        wake_up = WakeUp() if wake_up is None else wake_up
        self._alarm = wake_up.alarm(self.advance, exact=pacer.gap < SHORT_GAP)
        self._on_wait = on_wait
        self._longest_wait = 0.0
        """The longest wait that was reported since a request came through."""
        self._waiting: list[Permit] = []
        self._ready: list[Permit] = []
        self._leaving: Permit | None = None
        self._staged = 0
        """How many are admitted and have not left …"""
        self._staging_since = -math.inf
        """… and since when there have been any."""
        self._numbers = count()
        self._shortest_lead = SHORTEST_LEAD if pacer.gap < SHORT_GAP else 0.0
        self._lead = self._shortest_lead
        self._lead_kept = LEAD_KEPT**pacer.gap
        self.in_flight = 0

    def permit(self, priority: Priority, place: int) -> Permit:
        """Return a permit to be entered; of one priority, the smaller place goes first."""
        return Permit(self, (priority, place, next(self._numbers)))

    def queue(self, permit: Permit) -> None:
        """Let a new permit wait for admission, an admitted one for its slot."""
        if permit.state == State.WAITING:
            heappush(self._waiting, permit)
        elif permit.state == State.ADMITTED:
            permit.state = State.READY
            heappush(self._ready, permit)
            took = self._loop.time() - permit.admitted_at
            self._lead = max(min(took, LONGEST_LEAD), self._lead * self._lead_kept, self._shortest_lead)
        self.advance()

    def left(self, permit: Permit) -> None:
        """Count from the moment at which the bytes went out."""
        if permit.state != State.GRANTED:
            return
        now = self._loop.time()
        permit.state = State.LEFT
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
        """Free what a permit held, whatever state it is in."""
        if permit.state == State.GRANTED:
            self.left(permit)  # its bytes may be under way
        if permit.state in {State.ADMITTED, State.READY}:
            self._staged -= 1
        if permit.state not in {State.WAITING, State.ENDED}:
            self.in_flight -= 1
        permit.state = State.ENDED
        if self._waiting or self._ready:
            self._loop.call_soon(self.advance)  # not at once: a refused request must first be back in the queue

    def accepted(self) -> None:
        """Learn from a request that was not refused."""
        self._pacer.accepted()
        self._longest_wait = 0.0

    def refused(self, permit: Permit, retry_after: float | None, *, longest: float = math.inf) -> float:
        """Learn from a refusal; return the seconds until the next slot, for no pause longer than `longest`."""
        now = self._loop.time()
        left_at = now if permit.left_at is None else permit.left_at
        pause = self._pacer.refused(now, left_at=left_at, retry_after=retry_after, longest=longest)
        self.pause(now + pause)
        return pause

    def pause(self, until: float) -> None:
        """Let nothing leave before a moment, from no process that shares the pace."""
        self._pacer.pause(until)
        if self._shared is not None and not self._shared.pause(until):
            self._loop.call_later(SHARE_AGAIN, self.pause, until)

    def advance(self) -> None:
        """Admit and let go whoever may, and do so again when the next one may."""
        if not self._waiting and not self._ready:
            self._alarm.set(math.inf)
            return
        now = self._loop.time()
        slot = self._pacer.slot()
        wake = min(self._admit(now, slot), self._let_go(now, slot))
        self._alarm.set(wake)
        if wake < math.inf and wake - now > LONG_WAIT + 2 * self._pacer.gap:
            self._report(wake - now)

    def _report(self, wait: float) -> None:
        """Report a wait, once until requests come through again, or it has grown to twice as long."""
        if self._on_wait is not None and wait > 2 * self._longest_wait:
            self._longest_wait = wait
            self._on_wait(wait)

    def _admit(self, now: float, slot: float) -> float:
        while self._waiting:
            permit = self._waiting[0]
            if permit.state == State.WAITING:
                if self.in_flight >= self._concurrency.limit:
                    break
                due = slot - self._lead
                if self._staged and not self._pacer.unpaced:
                    due = max(slot, self._staging_since) - self._lead + self._staged * self._pacer.gap
                if due > now:
                    return due
                if not self._staged:
                    self._staging_since = now
                self.in_flight += 1
                self._staged += 1
                permit.admitted_at = now
                permit.enter(State.ADMITTED)
            heappop(self._waiting)
        return math.inf

    def _let_go(self, now: float, slot: float) -> float:
        while self._ready and self._leaving is None:
            permit = self._ready[0]
            if permit.state == State.READY:
                if max(slot, self._shared_slot) > now:
                    return max(slot, self._shared_slot)
                if self._shared is not None and (again := self._shared.take(now)) > now:
                    self._shared_slot = again
                    return again
                if not self._pacer.unpaced:
                    self._leaving = permit
                permit.enter(State.GRANTED)
            heappop(self._ready)
        return math.inf

    def close(self) -> None:
        """Forget the alarm."""
        self._alarm.set(math.inf)
