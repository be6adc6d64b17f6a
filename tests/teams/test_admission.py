"""Which teams crawl at once, in virtual time."""

from __future__ import annotations

import asyncio

from exporter.teams.admission import LATE, STEP, TICK, Admission
from tests.virtual_time import VirtualTimeLoop, run


def test_the_first_goes_at_once_and_the_longest_of_the_others_next() -> None:
    order: list[int] = []

    async def team(admission: Admission, orders: int) -> None:
        await admission.enter(orders)
        order.append(orders)
        await asyncio.sleep(1_000)
        admission.leave()

    async def all_teams() -> None:
        async with Admission() as admission, asyncio.TaskGroup() as tasks:
            for orders in (5, 10, 30, 20):
                tasks.create_task(team(admission, orders))

    run(all_teams())
    assert order == [5, 30, 20, 10]


def test_a_loop_that_is_late_admits_nobody_until_one_leaves() -> None:
    async def busy() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        seen = list[int]()
        async with Admission() as admission:
            await admission.enter(1)
            others = [asyncio.create_task(admission.enter(number)) for number in range(3)]
            for _ in range(20):
                await asyncio.sleep(TICK / 2)
                loop.jump(10 * LATE)
            seen.append(admission.running)
            admission.leave()
            await asyncio.sleep(0)
            seen.append(admission.running)
            for each in others:
                each.cancel()
        return seen

    assert run(busy()) == [1, 1]


def test_many_are_admitted_step_by_step_while_the_loop_is_in_time() -> None:
    async def calm() -> list[int]:
        async with Admission() as admission:
            tasks = [asyncio.create_task(admission.enter(number)) for number in range(3 * STEP)]
            seen = list[int]()
            for _ in range(5):
                seen.append(admission.running)
                await asyncio.sleep(TICK)
            for task in tasks:
                task.cancel()
        return seen

    assert run(calm())[-1] == 3 * STEP


def test_a_team_that_is_cancelled_while_it_waits_takes_no_place() -> None:
    async def cancelled() -> int:
        async with Admission() as admission:
            await admission.enter(1)
            waiting = asyncio.create_task(admission.enter(2))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(3 * TICK)
            return admission.running

    assert run(cancelled()) == 1
