from __future__ import annotations

import asyncio
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from subprocess import PIPE, Popen, run
from typing import Any

import aiohttp
import orjson
import pytest

from exporter.simulator import Faults, SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.simulator.faults import KINDS
from exporter.simulator.server import Simulator, serving
from exporter.simulator.team import Team
from exporter.simulator.world import World
from exporter.vendor.orders import ENDPOINT, KEY_HEADER, TOO_FREQUENT, UNAUTHORIZED
from tests.simulator.asking import ASCENDING

Ask = Callable[..., Any]


@asynccontextmanager
async def asking(options: SimulatorOptions) -> AsyncIterator[tuple[Simulator, Ask]]:
    async with serving(options) as simulator, aiohttp.ClientSession(simulator.url) as session:

        async def ask(*, key: str = "simulator", **body: Any) -> tuple[aiohttp.ClientResponse, bytes]:
            headers = {KEY_HEADER: key, **body.pop("headers", {})}
            async with session.post(ENDPOINT, json={**ASCENDING, **body}, headers=headers) as response:
                return response, await response.read()

        yield simulator, ask


async def test_a_page_comes_over_http_as_the_world_tells_it() -> None:
    options = SimulatorOptions(rows=700)
    async with asking(options) as (_, ask):
        response, body = await ask(page=2)
    assert response.status == 200
    assert response.content_type == "application/json"
    assert orjson.loads(body) == World.of(options).response({**ASCENDING, "page": 2})


async def test_the_date_header_is_that_of_the_frozen_clock() -> None:
    async with asking(SimulatorOptions(rows=1)) as (_, ask):
        response, _body = await ask()
    assert response.headers["Date"] == "Wed, 31 Dec 2025 16:05:00 GMT"


async def test_lang_chooses_the_language_and_an_unknown_one_is_english() -> None:
    async with asking(SimulatorOptions(rows=50)) as (simulator, ask):
        for asked, spoken in (("zh", "zh"), ("ru", "ru"), ("tlh", "en")):
            _, body = await ask(headers={"Lang": asked})
            assert orjson.loads(body)["data"]["list"] == simulator.world.oracle(language=spoken)


async def test_a_wrong_key_gets_an_envelope_with_code_401() -> None:
    async with asking(SimulatorOptions(rows=1)) as (simulator, ask):
        response, body = await ask(key="guessed")
        assert (response.status, orjson.loads(body)["code"]) == (200, 401)
        assert simulator.statistics.unauthorized == 1


async def test_only_post_is_served() -> None:
    async with serving(SimulatorOptions(rows=1)) as simulator, aiohttp.ClientSession(simulator.url) as session:
        async with session.get(ENDPOINT) as response:
            assert response.status == 405
        async with session.post("/api/v1/team/orders") as response:
            assert response.status == 404


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with (
        serving(SimulatorOptions(rows=1)) as simulator,
        aiohttp.ClientSession(simulator.url) as session,
        session.post(ENDPOINT, data=b"page=1", headers={KEY_HEADER: "simulator"}) as response,
    ):
        assert (await response.json())["code"] == 400


async def test_a_request_above_the_rate_is_refused_by_code_or_by_status() -> None:
    async with asking(SimulatorOptions(rows=1, rate=0.01)) as (simulator, ask):
        responses = [await ask() for _ in range(3)]
        assert [orjson.loads(body)["code"] for _, body in responses] == [200, 160004, 160004]
        assert {one.status for one, _ in responses} == {200}
        assert simulator.statistics.refused == 2
    async with asking(SimulatorOptions(rows=1, rate=0.01, refusal="429", retry_after=7)) as (_, ask):
        await ask()
        response, _body = await ask()
        assert (response.status, response.headers["Retry-After"]) == (429, "7")


def test_the_rate_is_counted_by_the_time_of_arrival() -> None:
    team = Team(SimulatorOptions(rows=1, rate=1, rule="sliding"))
    body, headers = orjson.dumps(ASCENDING), {KEY_HEADER: "simulator"}
    codes = [orjson.loads(team.decide(headers, body, now).body)["code"] for now in (0.0, 0.99, 1.0, 1.5, 2.0)]
    assert codes == [200, 160004, 200, 160004, 200]


async def test_statistics_tell_what_came_in_and_can_be_reset() -> None:
    async with asking(SimulatorOptions(rows=600)) as (simulator, ask):
        await ask(page=1)
        await ask(page=2)
        await ask(page=1)
        async with aiohttp.ClientSession(simulator.url) as session:
            async with session.get("/statistics") as response:
                counted = await response.json()
            assert counted.pop("cpu_seconds") > 0
            assert counted | {"gaps": None} == {
                "requests": 3,
                "served": 3,
                "refused": 0,
                "unauthorized": 0,
                "repeated": 1,
                "faults": {},
                "peak_in_flight": 1,
                "gaps": None,
            }
            assert 0 < counted["gaps"]["least"] <= counted["gaps"]["mean"] <= counted["gaps"]["most"]
            await session.post("/statistics/reset")
            async with session.get("/statistics") as response:
                assert (await response.json())["requests"] == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_every_fault_reaches_the_client(kind: str) -> None:
    faults = Faults(script=(kind,), burst=1, stall_seconds=0.01, slow_seconds=0.01)
    async with asking(SimulatorOptions(rows=600, faults=faults)) as (simulator, ask):
        if kind in {"reset", "cut"}:
            with pytest.raises(aiohttp.ClientError):
                await ask()
        else:
            response, body = await ask()
            right = body == simulator.world.response_bytes(ASCENDING)
            assert right == (kind in {"stall", "slow", "gzip"})
            assert (response.headers.get("Content-Encoding") == "gzip") == (kind == "gzip")
            assert (response.status >= 500) == (kind == "server_error")
        assert simulator.statistics.faults == {kind: 1}
        _, body = await ask()
        assert body == simulator.world.response_bytes(ASCENDING), "the next request is served"


async def test_an_answer_is_compressed_only_for_those_who_accept_it() -> None:
    async with asking(SimulatorOptions(rows=600, faults=Faults(gzip=1))) as (_, ask):
        response, body = await ask(headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in response.headers
    assert len(orjson.loads(body)["data"]["list"]) == 500


async def test_a_stalled_answer_does_not_hold_up_the_end() -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asking(SimulatorOptions(rows=1, faults=Faults(stall=1, stall_seconds=60))) as (_, ask):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(), 0.05)
    assert loop.time() - start < 5


async def test_latency_and_jitter_delay_the_answer() -> None:
    async with asking(SimulatorOptions(rows=1, latency=0.001, jitter=0.001)) as (_, ask):
        response, _body = await ask()
        assert response.status == 200


def test_a_process_of_its_own_serves_until_it_is_stopped() -> None:
    with serving_apart(SimulatorOptions(rows=10)) as url, urllib.request.urlopen(f"{url}/statistics") as response:
        assert orjson.loads(response.read())["requests"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None])
def test_a_server_in_the_foreground_stops_on_a_signal_and_when_its_parent_has_gone(number: int | None) -> None:
    program = "from exporter.simulator import SimulatorOptions; from exporter.simulator.server import run; "
    program += "run(SimulatorOptions(rows=1), attached=True)"
    with Popen([sys.executable, "-c", program], text=True, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        if number is None:
            process.stdin.close()
        else:
            process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_a_process_that_cannot_serve_says_so() -> None:
    with (
        pytest.raises(RuntimeError, match="before it was ready"),
        serving_apart(SimulatorOptions(host="not an address")),
    ):
        pass


def test_the_options_are_light_to_import() -> None:
    program = "import sys, exporter.simulator; sys.exit('aiohttp' in sys.modules or 'orjson' in sys.modules)"
    assert run([sys.executable, "-c", program], check=False).returncode == 0


async def test_each_team_has_a_key_orders_and_a_limit_of_its_own() -> None:
    options = SimulatorOptions(rows=3, teams=2, rate=0.001)
    async with asking(options) as (simulator, ask):
        pages = [await ask(key=key) for key in ("simulator-1", "simulator-2", "simulator-1", "simulator")]
        lists = [orjson.loads(body).get("data", {}).get("list") for _, body in pages]
        assert lists[0] == simulator.teams["simulator-1"].world.oracle()
        assert lists[1] == simulator.teams["simulator-2"].world.oracle()
        assert lists[0] != lists[1]
        assert orjson.loads(pages[2][1])["code"] == TOO_FREQUENT
        assert orjson.loads(pages[3][1])["code"] == UNAUTHORIZED
        async with aiohttp.ClientSession(simulator.url) as session, session.get("/statistics") as response:
            counted = (await response.json())["teams"]
        assert [(one["served"], one["refused"]) for one in counted.values()] == [(1, 1), (1, 0)]


def test_less_than_one_team_is_refused() -> None:
    with pytest.raises(ValueError, match="teams is 0"):
        SimulatorOptions(teams=0)
