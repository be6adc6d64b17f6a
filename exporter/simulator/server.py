"""Serve a world over HTTP, at a limited rate and with faults; count the requests."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import lru_cache
from random import Random

from aiohttp import web

from exporter.simulator.faults import WireResponse
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.statistics import ServerStatistics
from exporter.simulator.team import teams_of
from exporter.simulator.world import World
from exporter.vendor.orders import ENDPOINT, KEY_HEADER, UNAUTHORIZED

_NO_LINGER = struct.pack("ii", 1, 0)  # a socket closed with it sends a reset
_PIECES = 20
_UNAUTHORIZED = b'{"code":%d,"message":"Please log in again."}' % UNAUTHORIZED


class Simulator:
    """Teams behind HTTP, each with a key of its own. `url` is known once they are served."""

    def __init__(self, options: SimulatorOptions, world: World | None = None) -> None:
        self.options = options
        self.teams = teams_of(options, world)
        self.url = ""
        self._first = next(iter(self.teams.values()))
        self._random = Random(options.seed)

    @property
    def world(self) -> World:
        """What the first team holds."""
        return self._first.world

    @world.setter
    def world(self, world: World) -> None:
        self._first.world = world

    @property
    def statistics(self) -> ServerStatistics:
        """What was counted for the first team, requests of unknown keys included."""
        return self._first.statistics

    def app(self) -> web.Application:
        """Return the application: the endpoint, `GET /statistics`, `POST /statistics/reset`."""
        app = web.Application()
        app.router.add_post(ENDPOINT, self._list_orders)
        app.router.add_get("/statistics", self._show_statistics)
        app.router.add_post("/statistics/reset", self._reset_statistics)
        return app

    def decide(self, headers: Mapping[str, str], body: bytes, now: float) -> WireResponse:
        """Return what is sent to a request that arrives at `now`, in seconds on a monotonic clock."""
        team = self.teams.get(headers.get(KEY_HEADER, ""))
        if team is None:
            self.statistics.unauthorized += 1
            return WireResponse(body=_UNAUTHORIZED)
        return team.decide(headers, body, now)

    async def _list_orders(self, request: web.Request) -> web.StreamResponse:
        if self.options.jitter:
            await asyncio.sleep(self._random.uniform(0, self.options.jitter))
        now = time.monotonic()
        team = self.teams.get(request.headers.get(KEY_HEADER, ""), self._first)
        team.statistics.arrive(now)
        try:
            wire = self.decide(request.headers, await request.read(), now)
            if delay := self.options.latency + wire.delay:
                await asyncio.sleep(delay)
            return await self._send(request, wire, now=team.world.now())
        finally:
            team.statistics.in_flight -= 1

    async def _send(self, request: web.Request, wire: WireResponse, *, now: float) -> web.StreamResponse:
        headers = {"Content-Type": wire.content_type, "Date": _date(int(now)), **wire.headers}
        if wire.encoding:
            headers["Content-Encoding"] = wire.encoding
        if wire.status and wire.sent is None and not wire.duration:
            return web.Response(status=wire.status, body=wire.body, headers=headers)
        transport = request.transport
        if not wire.status:
            if transport is not None:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                transport.abort()
            return web.Response()
        response = web.StreamResponse(status=wire.status, headers=headers)
        response.content_length = len(wire.body)
        await response.prepare(request)
        body = wire.body[: wire.sent]
        size = max(1, len(body) // _PIECES)
        for start in range(0, len(body), size):
            await response.write(body[start : start + size])
            await asyncio.sleep(wire.duration / _PIECES)
        if wire.sent is not None and transport is not None:
            transport.close()
        return response

    async def _show_statistics(self, _request: web.Request) -> web.Response:
        shown = self.statistics.as_json() | {"cpu_seconds": time.process_time()}
        if len(self.teams) > 1:
            shown["teams"] = {key: team.statistics.as_json() for key, team in self.teams.items()}
        return web.json_response(shown)

    async def _reset_statistics(self, _request: web.Request) -> web.Response:
        for team in self.teams.values():
            team.statistics = ServerStatistics(in_flight=team.statistics.in_flight)
        return web.json_response({})


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def make_app(options: SimulatorOptions, world: World | None = None) -> web.Application:
    """Return the application that serves a world, by default the one that the options describe."""
    return Simulator(options, world).app()


@asynccontextmanager
async def serving(options: SimulatorOptions | None = None, world: World | None = None) -> AsyncIterator[Simulator]:
    """Serve in the running loop; yield the simulator, with its `url` and its `statistics`."""
    options = options or SimulatorOptions()
    simulator = Simulator(options, world)
    runner = web.AppRunner(simulator.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port).start()
        host, port = runner.addresses[0][:2]
        simulator.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        yield simulator
    finally:
        await runner.cleanup()


def run(options: SimulatorOptions, *, attached: bool = False) -> None:
    """Serve in the foreground: print the URL on one line when ready; return on SIGINT or SIGTERM.

    `attached`: return at the end of standard input, too, so that the server does not outlive its parent.
    """
    asyncio.run(_serve_until_stopped(options, attached=attached))


async def _serve_until_stopped(options: SimulatorOptions, *, attached: bool) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if attached:
        loop.add_reader(sys.stdin, stopped.set)
    async with serving(options) as simulator:
        gc.freeze()  # looking through millions of orders for garbage would take as long as some responses
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        await stopped.wait()
