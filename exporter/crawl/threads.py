"""Threads for what must not block the event loop, with an explicit lifetime, to be shared by the exports of a process.

Whoever opens `threads()` owns them and ends them; everybody else is given an `Executor`. Work that must keep its order
(a store's calls, the segments of a part) goes through an `InOrder`, one for each export, over a pool that many share.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Protocol, TypeVar

import anyio
import pyarrow as pa

JUDGING = 2
"""Threads that type and judge segments: what one does off the interpreter's lock hides that the other waits for it."""

NICENESS = 5
"""Where both cores are busy, segments are judged before parts are written: the request queue waits for the former."""

SWITCH_INTERVAL = 5e-5
"""Seconds that another thread waits for the event loop to give up the interpreter's lock. With Python's own 5 ms,
segments are judged only after all pages are read."""

SWITCH_INTERVAL_OF_MANY = 1e-3
"""The same where many exports share the loop: each switch costs caches, and none of them waits for a single segment."""

GARBAGE = 50_000
"""Objects between two searches for cycles: a page makes 500 that are in none."""

T = TypeVar("T")


class OffLoop(Protocol):
    """Run a function in another thread."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]:
        """Return what `function(*args)` returns."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Threads:
    """The pools of threads that exports share."""

    judging: Executor
    """Types and judges segments."""
    disk: Executor
    """Commits segments to spools, opens and closes stores."""
    parts: Executor
    """Writes Parquet, with less priority."""


@contextmanager
def threads(*, judging: int = JUDGING, disk: int = 1, parts: int = 1) -> Iterator[Threads]:
    """Start pools of these sizes; at the end drop what has not begun, and end each thread with its present work."""
    pools = (
        ThreadPoolExecutor(judging, thread_name_prefix="judging"),
        ThreadPoolExecutor(disk, thread_name_prefix="disk"),
        ThreadPoolExecutor(parts, thread_name_prefix="parts", initializer=_lower_priority),
    )
    try:
        yield Threads(judging=pools[0], disk=pools[1], parts=pools[2])
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


class InOrder(Executor):
    """One user's share of a pool: its work is done one after another, in the order of submission."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._running = False
        self._lock = Lock()

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Do it after all that was submitted before."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((future, partial(function, *args, **kwargs)))
            if self._running:
                return future
            self._running = True
        self._pool.submit(self._run_next)
        return future

    def _run_next(self) -> None:
        """Do one piece of work, then queue for the pool again: other users' work comes in between."""
        with self._lock:
            future, function = self._waiting.popleft()
        if future.set_running_or_notify_cancel():
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001  # the future hands it to whoever waits for it
                future.set_exception(error)
            else:
                future.set_result(result)
        with self._lock:
            if not self._waiting:
                self._running = False
                return
        self._pool.submit(self._run_next)


def off_loop(executor: Executor) -> OffLoop:
    """Return a function that runs others in the executor's threads.

    They start at once: `anyio.to_thread` lets the loop take a step first, in which a page is decoded. A scope that is
    cancelled waits for the work that has begun.
    """

    async def run(function: Callable[..., T], /, *args: Any) -> T:
        work = asyncio.get_running_loop().run_in_executor(executor, function, *args)
        with anyio.CancelScope(shield=True):
            await work
        return work.result()

    return run


def tune(switch_interval: float = SWITCH_INTERVAL) -> None:
    """Set up the process, which is the export's own, for many pages, several threads and large tables."""
    gc.set_threshold(GARBAGE)
    sys.setswitchinterval(switch_interval)
    with suppress(NotImplementedError):  # not in every build; of 240 MB it saves 50
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def _lower_priority() -> None:
    """Let the other threads run first, where this can be asked for one thread and not only for the process."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.nice(NICENESS)
