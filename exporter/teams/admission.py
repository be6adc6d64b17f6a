"""Decide which teams crawl at once: those with the most orders first, and no more than the event loop can serve.

A team that waits has asked for its first page, so that its total is known. Teams are admitted while the loop answers in
time; a loop that is late is busy, and more teams would only slow down those that run.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count
from typing import Self

TICK = 0.05
"""Seconds between two looks at the loop."""
LATE = 0.02
"""A loop that is later than this on average, in seconds, has no time for another team."""
STEP = 32
"""Teams that are admitted in one tick at most, so that each tick shows what the last ones cost."""
WEIGHT = 0.3
"""Share of the latest look in the average."""


class Admission:
    """The queue of teams that wait. An async context manager: it looks at the loop while it is open."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._late = 0.0
        self.running = 0
        """Teams that are admitted and have not left."""

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()

    @property
    def busy(self) -> bool:
        """Whether the loop is late."""
        return self._late >= LATE

    async def enter(self, orders: int | None) -> None:
        """Wait for admission; of two that wait, the one with more orders goes first, an unknown number before all."""
        if not self._waiting and not self.running:
            self.running += 1
            return
        admitted = asyncio.get_running_loop().create_future()
        rank = -orders if orders is not None else -(2**62)
        heappush(self._waiting, (rank, next(self._numbers), admitted))
        await admitted

    def leave(self) -> None:
        """Make room for another one; called by a team that was admitted, however it ended."""
        self.running -= 1
        if not self.running:
            self._admit(1)

    def _admit(self, number: int) -> None:
        while self._waiting and number:
            admitted = heappop(self._waiting)[2]
            if not admitted.done():  # else its team was cancelled
                self.running += 1
                number -= 1
                admitted.set_result(None)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self._late += (loop.time() - due - self._late) * WEIGHT
            if not self.busy:
                self._admit(STEP)


class Intake:
    """Decide when a worker takes another team from those that all workers share.

    The first at once; then, as long as the loop is not busy, twice the number of the last tick in each one, so that
    workers that start together share evenly. A busy one leaves the rest to the others.
    """

    def __init__(self, admission: Admission, *, places: int) -> None:
        self._admission = admission
        self._places = asyncio.Semaphore(places)
        self._left, self._step = 1, 1
        self._next_tick = 0.0

    async def enter(self) -> None:
        """Wait until another team may be taken."""
        await self._places.acquire()
        try:
            await self._in_time()
        except BaseException:
            self._places.release()
            raise

    def leave(self) -> None:
        """Make room for another one; called for each team that was taken, however it ended."""
        self._places.release()

    async def _in_time(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._left:
            await asyncio.sleep(max(0.0, self._next_tick - loop.time()))
            if loop.time() < self._next_tick:
                continue  # another one that waited has opened this tick
            self._next_tick = loop.time() + TICK
            if self._admission.busy:
                self._step = 1
            else:
                self._left, self._step = self._step, min(2 * self._step, STEP)
        self._left -= 1
