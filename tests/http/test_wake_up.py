"""One timer wakes any number of queues, each at its moment, and none of them harms another."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.http.client import Client
from exporter.http.wake_up import Alarm, WakeUp
from exporter.vendor.orders import PageRequest
from tests.http.fake_transport import FakeTransport, settings
from tests.virtual_time import VirtualTimeLoop, run


def timers(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many timers are set."""
    assert isinstance(loop, VirtualTimeLoop)
    return sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]


@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=4), min_size=1, max_size=8))
def test_each_alarm_rings_once_at_the_moment_that_was_set_last(story: list[list[int]]) -> None:
    rung: list[tuple[int, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        wake_up, start = WakeUp(), loop.time()

        def alarm(number: int) -> Alarm:
            return wake_up.alarm(lambda: rung.append((number, loop.time() - start)))

        for number, moments in enumerate(story):
            one = alarm(number)
            for moment in moments:
                one.set(start + moment)
        assert timers(loop) == 1
        await asyncio.sleep(60)

    run(main())
    assert [(number, round(moment, 6)) for number, moment in sorted(rung)] == [
        (number, moments[-1]) for number, moments in enumerate(story)
    ]
    assert [moment for _, moment in rung] == sorted(moment for _, moment in rung)


def test_an_alarm_that_is_not_set_any_more_does_not_ring() -> None:
    async def main() -> list[str]:
        rung: list[str] = []
        wake_up, now = WakeUp(), asyncio.get_running_loop().time()
        one, other = wake_up.alarm(lambda: rung.append("one")), wake_up.alarm(lambda: rung.append("other"))
        one.set(now + 1)
        other.set(now + 2)
        one.set(float("inf"))
        await asyncio.sleep(5)
        return rung

    assert run(main()) == ["other"]


def test_an_alarm_that_fails_does_not_stop_the_others() -> None:
    async def main() -> list[str]:
        rung: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: rung.append(str(context["exception"])))
        wake_up = WakeUp()

        def fail() -> None:
            raise ValueError("failed")

        wake_up.alarm(fail).set(loop.time() + 1)
        wake_up.alarm(lambda: rung.append("rung")).set(loop.time() + 2)
        await asyncio.sleep(5)
        return rung

    assert run(main()) == ["failed", "rung"]


@pytest.mark.parametrize(("exact", "late"), [(True, 0.0001), (False, 0.001)])
def test_only_an_exact_alarm_is_waited_for_in_the_loop_s_iterations(*, exact: bool, late: float) -> None:
    """The loop here is as a real one: an iteration takes a tenth of a millisecond, a timer is a millisecond late."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        rung: list[float] = []

        def iterate() -> None:
            loop.jump(0.0001)
            if not rung:
                loop.call_soon(iterate)

        alarm = WakeUp(early=0.001).alarm(lambda: rung.append(loop.time()), exact=exact)
        alarm.set(1_001.0)
        await asyncio.sleep(0.9985)
        if exact:
            iterate()
        else:
            loop.jump(0.0025)
        await asyncio.sleep(1)
        return rung[0]

    assert 0 <= run(main()) - 1_001.0 <= late + 1e-9


@pytest.mark.parametrize("teams", [1, 50])
def test_many_clients_share_one_timer_and_each_keeps_its_pace(teams: int) -> None:
    transports = [FakeTransport(latency=0.2) for _ in range(teams)]

    async def main() -> int:
        loop = asyncio.get_running_loop()
        wake_up, most = WakeUp(), 0

        async def work(transport: FakeTransport) -> None:
            async with Client(settings(), transport=transport, wake_up=wake_up) as client:
                await asyncio.gather(*(client.ask(PageRequest(first=0, last=1)) for _ in range(10)))

        async with asyncio.TaskGroup() as group:
            for transport in transports:
                group.create_task(work(transport))
            for _ in range(30):
                await asyncio.sleep(0.25)
                sleeping = sum(transport.in_flight for transport in transports)
                most = max(most, timers(loop) - sleeping)
        return most

    assert run(main()) <= 2
    for transport in transports:
        gaps = [later - earlier for earlier, later in zip(transport.departures, transport.departures[1:], strict=False)]
        assert all(1.0 < gap <= 1.0151 for gap in gaps)
