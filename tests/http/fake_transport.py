"""A transport without a network: it leaves in its slot, takes its time, and answers as a function says."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson

from exporter.config.options import Settings
from exporter.http.permits import Permit
from exporter.vendor.envelope import HttpResponse
from exporter.vendor.secret import Secret

Answering = Callable[[dict[str, Any]], HttpResponse | Awaitable[HttpResponse]]
"""From a request's JSON to a reply; it may raise what a transport raises."""


def settings(**changes: Any) -> Settings:
    """Return settings for one export, with changes to the defaults; `api_key` may be a plain text."""
    plain: dict[str, Any] = {"api_key": "the-secret-key", "start": 0, "end": 1, "start_asked": "a", "end_asked": "b"}
    given = plain | changes
    return Settings(**given | {"api_key": Secret(given["api_key"])})


def page(*records: dict[str, Any], total: Any = None, **headers: str) -> HttpResponse:
    """Return a reply with a page of records."""
    data = {"list": records, "page": 1, "pagesize": 500, "total": len(records) if total is None else total}
    return HttpResponse(200, headers, orjson.dumps({"code": 200, "data": data, "message": "Success"}))


def envelope(code: Any, message: str = "", *, status: int = 200, **headers: str) -> HttpResponse:
    """Return a reply with no data."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, named, orjson.dumps({"code": code, "message": message}))


@dataclass
class FakeTransport:
    """`latency` and `connecting` are in seconds of the loop's clock; the n-th request is answered by the n-th of
    `script`, those beyond it by `answering`.
    """

    answering: Answering = lambda _: page()
    latency: float = 0.05
    connecting: float = 0.0
    script: list[Any] = field(default_factory=list)
    departures: list[float] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self.in_flight == 0

    async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:
        if self.connecting:
            await asyncio.sleep(self.connecting)
        await permit.come()
        permit.left()
        request = orjson.loads(body)
        self.departures.append(asyncio.get_running_loop().time())
        self.asked.append(request)
        number = len(self.asked)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            reply = self.script[number - 1] if number <= len(self.script) else self.answering(request)
            if isinstance(reply, Exception):
                raise reply
            return await reply if inspect.isawaitable(reply) else reply
        finally:
            self.in_flight -= 1
