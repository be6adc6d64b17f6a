"""Run coroutines on an event loop whose clock jumps: hours of timers pass in milliseconds.

The clock stops while anything can run and jumps to the next timer when nothing can. Sockets and jobs given to
`run_in_executor` (so `asyncio.to_thread` too) are waited for in real time, with the clock standing still; other
threads are unknown to the loop. Waiting for what can never happen raises `Stuck` instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

REAL_PATIENCE = 30.0
"""Seconds of real time that a job in a thread may take."""


class Stuck(Exception):  # noqa: N818 - it names a condition
    """Nothing is left that could wake the loop."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps: its clock jumps from timer to timer."""

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start
        self.jobs = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Let the clock run on by `seconds`, as a busy loop would."""
        self._now += seconds

    def idle(self, seconds: float | None) -> None:
        """Jump to the next timer, `seconds` away; None: no timer is set."""
        if seconds is None:
            raise Stuck("every task waits, and no timer is set")
        self.jump(seconds)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self.jobs += 1
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's own
        self.jobs += 1  # it waits for a thread that joins the others
        try:
            await super().shutdown_default_executor()
        finally:
            self.jobs -= 1

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self.jobs -= 1


class SteppedLoop(VirtualTimeLoop):
    """A loop that stops where the other jumps: whoever steps it decides what comes next."""

    def idle(self, seconds: float | None) -> None:
        self._timer = seconds
        self.stop()

    def run_until_idle(self) -> float | None:
        """Run whatever can run now; return the seconds to the next timer, None if no timer is set."""
        self.run_forever()
        return self._timer


class _JumpingSelector(selectors.BaseSelector):
    """A selector that moves the loop's clock where another would sleep."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._real.select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self._loop.jobs:
            if not (events := self._real.select(REAL_PATIENCE)):
                raise Stuck(f"a job in a thread has not ended in {REAL_PATIENCE:g} s")
            return events
        self._loop.idle(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def run(coroutine: Coroutine[Any, Any, T], *, start: float = 1_000.0) -> T:
    """Run a coroutine to its end in virtual time and return its result."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start)) as runner:
        return runner.run(coroutine)
