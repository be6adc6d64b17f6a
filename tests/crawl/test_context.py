"""Work off the event loop: it starts at once, and threads that were told to take turns do."""

from __future__ import annotations

import asyncio
from threading import Event, get_ident

import anyio

from exporter.crawl.context import off_loop

PATIENCE = 10.0


class Held:
    """Work that has begun, and lasts until it may end."""

    def __init__(self) -> None:
        self.begun, self.end = Event(), Event()
        self.seen: list[str] = []

    def __call__(self) -> None:
        self.begun.set()
        assert self.end.wait(PATIENCE)
        self.seen.append("it ended")


def test_work_starts_before_the_loop_takes_a_turn() -> None:
    begun = Event()

    async def story() -> bool:
        work = off_loop(1)(begun.set).__await__()
        next(work)  # as far as it goes without the loop
        started = begun.wait(PATIENCE)
        work.close()
        return started

    assert asyncio.run(story())


def test_as_many_work_at_once_as_told_and_none_on_the_loop() -> None:
    together = 2
    meeting = [Event(), Event()]

    def meet(number: int) -> int:
        meeting[number].set()
        assert meeting[1 - number].wait(PATIENCE)
        return get_ident()

    async def story() -> set[int]:
        run = off_loop(together)
        threads = await asyncio.gather(*(run(meet, number) for number in range(together)))
        return {get_ident(), *threads}

    assert len(asyncio.run(story())) == 1 + together


def test_after_work_whose_caller_is_gone_the_next_waits_for_its_end() -> None:
    held = Held()

    async def story() -> None:
        run = off_loop(1)
        first = asyncio.ensure_future(run(held))
        await asyncio.to_thread(held.begun.wait, PATIENCE)
        first.cancel()
        second = asyncio.ensure_future(run(held.seen.append, "the next came"))
        await asyncio.wait([first])
        assert first.cancelled()
        assert not held.seen
        held.end.set()
        await second

    asyncio.run(story())
    assert held.seen == ["it ended", "the next came"]


def test_a_scope_that_is_cancelled_waits_for_the_work() -> None:
    held = Held()

    async def stop(scope: anyio.CancelScope) -> None:
        await asyncio.to_thread(held.begun.wait, PATIENCE)
        scope.cancel()
        asyncio.get_running_loop().call_soon(held.end.set)

    async def story() -> None:
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(stop, scope)
                await off_loop(1)(held)
        assert held.seen == ["it ended"]

    asyncio.run(story())
