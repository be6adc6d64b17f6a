"""Work off the event loop starts at once, one user's work keeps its order, and pools end with their owner."""

from __future__ import annotations

import asyncio
from concurrent.futures import wait
from threading import Event, get_ident
from threading import enumerate as enumerate_threads

import anyio

from exporter.crawl.threads import InOrder, off_loop, threads

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
        with threads() as pools:
            work = off_loop(pools.judging)(begun.set).__await__()
            next(work)  # as far as it goes without the loop
            started = begun.wait(PATIENCE)
            work.close()
            return started

    assert asyncio.run(story())


def test_a_pool_of_two_does_two_things_at_once_and_none_on_the_loop() -> None:
    together = 2
    meeting = [Event(), Event()]

    def meet(number: int) -> int:
        meeting[number].set()
        assert meeting[1 - number].wait(PATIENCE)
        return get_ident()

    async def story() -> set[int]:
        with threads(judging=together) as pools:
            run = off_loop(pools.judging)
            seen = await asyncio.gather(*(run(meet, number) for number in range(together)))
        return {get_ident(), *seen}

    assert len(asyncio.run(story())) == 1 + together


def test_after_work_whose_caller_is_gone_the_next_waits_for_its_end() -> None:
    held = Held()

    async def story() -> None:
        with threads(disk=2) as pools:
            run = off_loop(InOrder(pools.disk))
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
        with threads() as pools:
            async with anyio.create_task_group() as tasks:
                with anyio.CancelScope() as scope:
                    tasks.start_soon(stop, scope)
                    await off_loop(pools.disk)(held)
        assert held.seen == ["it ended"]

    asyncio.run(story())


def test_users_of_one_pool_keep_their_own_order_and_wait_for_nobody_else() -> None:
    """Three users of two threads: one is held up, the others' work is done meanwhile, each one's in order."""
    held = Held()
    seen: dict[str, list[int]] = {"a": [], "b": []}
    with threads(disk=2) as pools:
        slow = InOrder(pools.disk)
        slow.submit(held)
        behind = slow.submit(held.seen.append, "after it")
        others = {name: InOrder(pools.disk) for name in seen}
        futures = [others[name].submit(seen[name].append, number) for number in range(50) for name in seen]
        wait(futures, PATIENCE)
        assert seen == {"a": list(range(50)), "b": list(range(50))}
        assert not behind.done()
        held.end.set()
        behind.result(PATIENCE)
    assert held.seen == ["it ended", "after it"]


def test_what_fails_or_is_cancelled_in_order_does_not_stop_what_follows() -> None:
    held = Held()
    with threads() as pools:
        mine = InOrder(pools.disk)
        mine.submit(held)
        failing = mine.submit(int, "no number")
        dropped = mine.submit(held.seen.append, "never")
        assert dropped.cancel()
        last = mine.submit(held.seen.append, "the last")
        held.end.set()
        last.result(PATIENCE)
        assert isinstance(failing.exception(PATIENCE), ValueError)
    assert held.seen == ["it ended", "the last"]


def test_the_end_of_the_pools_ends_their_threads_and_drops_what_has_not_begun() -> None:
    held = Held()
    with threads() as pools:
        pools.disk.submit(held)
        assert held.begun.wait(PATIENCE)
        late = pools.disk.submit(held.seen.append, "late")
        during = set(enumerate_threads())
        late.add_done_callback(lambda _: held.end.set())
    assert held.seen == ["it ended"]
    assert late.cancelled()
    assert not [thread for thread in during & set(enumerate_threads()) if thread.name.startswith("disk")]
