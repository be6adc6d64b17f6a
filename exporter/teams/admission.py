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
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

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
            if self._late < LATE:
                self._admit(STEP)
