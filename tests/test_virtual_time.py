"""The clock of the tests themselves."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.virtual_time import SteppedLoop, Stuck, run


async def test_plain_async_tests_keep_a_real_clock() -> None:
    assert abs(asyncio.get_running_loop().time() - time.monotonic()) < 1


def test_a_day_passes_in_no_time_and_timers_fire_in_order() -> None:
    async def day() -> list[float]:
        loop = asyncio.get_running_loop()
        start, fired = loop.time(), []

        async def ring(after: float) -> None:
            await asyncio.sleep(after)
            fired.append(loop.time() - start)

        await asyncio.gather(*(ring(hours * 3600) for hours in (24, 1, 7.5)))
        return fired

    before = time.monotonic()
    assert run(day()) == [3600, 7.5 * 3600, 24 * 3600]
    assert time.monotonic() - before < 1


def test_the_clock_stands_still_while_a_thread_works() -> None:
    async def both() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        timer = asyncio.create_task(asyncio.sleep(60))
        await asyncio.to_thread(sum, range(100_000))
        after_thread = loop.time() - start
        await timer
        return after_thread, loop.time() - start

    assert run(both()) == (0, 60)


def test_waiting_for_nothing_is_told() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match="no timer is set"):
        run(forever())


def test_a_stepped_loop_runs_what_can_run_and_waits_to_be_told() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("at once")
        await asyncio.sleep(60)
        done.append("a minute later")

    loop = SteppedLoop()
    try:
        task = loop.create_task(work())
        assert loop.run_until_idle() == 60
        assert done == ["at once"]
        loop.jump(60)
        assert loop.run_until_idle() is None
        assert task.done()
        assert done == ["at once", "a minute later"]
    finally:
        loop.close()
