"""A line to the hostile server on which nothing happens by itself: each request waits until its fate is decided."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Self

import orjson

from exporter.errors import RejectedError
from exporter.http.permits import Permit
from exporter.vendor.envelope import HttpResponse, MayPass
from exporter.vendor.orders import MAX_PAGE_SIZE, Filters, PageRequest, second_of
from tests.crawl.hostile_server import HostileServer
from tests.http.fake_transport import envelope

FAULTS: dict[str, tuple[HttpResponse | None, float]] = {
    "500": (HttpResponse(500, {}, b""), 0.0),
    "HTML": (HttpResponse(200, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"), 0.0),
    "cut": (HttpResponse(200, {}, b'{"code": 200, "data": {"list": [{"ty'), 0.0),
    "null": (HttpResponse(200, {}, b'{"code": 200, "data": null}'), 0.0),
    "503 in an envelope": (envelope(503, "busy"), 0.0),
    "503 with Retry-After": (envelope(503, status=503, Retry_After="3"), 3.0),
    "timeout": (None, 0.0),
}
"""What may pass: the reply, if there is one, and the seconds for which it forbids all requests."""

REFUSALS: dict[str, tuple[HttpResponse | None, float]] = {
    "160004": (envelope(160004, "Request too frequent, please try again later."), 0.0),
    "429": (envelope(0, status=429), 0.0),
    "429 with Retry-After": (envelope(0, status=429, Retry_After="2"), 2.0),
}
"""For pace: these never count as failures."""

TIMERS = 1e-6
"""Seconds by which a timer may be early: asyncio's clock has a resolution."""


@dataclass(eq=False)
class ReceivedRequest:
    """A request on the line."""

    request: PageRequest
    reply: asyncio.Future[HttpResponse]


class HostileLine:
    """A transport: what leaves is `waiting`, oldest first, until it is answered, spoiled or refused."""

    def __init__(self, server: HostileServer) -> None:
        self.server = server
        self.waiting: list[ReceivedRequest] = []
        self.forbidden_until = -inf
        self.spoiled = 0

    def at(self, place: int) -> ReceivedRequest:
        """Return one of the requests that wait."""
        return self.waiting[place % len(self.waiting)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert not self.waiting

    async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:
        await permit.come()
        permit.left()
        loop = asyncio.get_running_loop()
        assert loop.time() > self.forbidden_until - TIMERS, "a request left in spite of Retry-After"
        request = ReceivedRequest(question_of(orjson.loads(body)), loop.create_future())
        self.waiting.append(request)
        try:
            return await request.reply
        finally:
            self.waiting.remove(request)

    def response(self, request: ReceivedRequest) -> None:
        """Show what the server holds at this moment."""
        try:
            response = self.server.response(request.request)
        except RejectedError as refused:
            request.reply.set_result(envelope(refused.code, refused.text))
            return
        data = {"list": response.records, "total": response.total, "page": 1, "pagesize": len(response.records)}
        request.reply.set_result(HttpResponse(200, {}, orjson.dumps({"code": 200, "data": data})))

    def fail(self, request: ReceivedRequest, how: str, now: float) -> None:
        """Spoil the answer, or refuse the request for pace."""
        self.spoiled += how in FAULTS
        reply, seconds = (FAULTS | REFUSALS)[how]
        self.forbidden_until = max(self.forbidden_until, now + seconds)
        if reply is None:
            request.reply.set_exception(MayPass("no answer within 60 s"))
        else:
            request.reply.set_result(reply)


def question_of(body: dict[str, Any]) -> PageRequest:
    """Read a request's JSON."""
    codes = {name: tuple(map(int, body.get(name, ()))) for name in ("status", "type", "product_type")}
    return PageRequest(
        first=second_of({"created_at": body["created_at_start"]}),
        last=second_of({"created_at": body["created_at_end"]}),
        page=body["page"],
        page_size=min(body["pagesize"], MAX_PAGE_SIZE),
        filters=Filters(status=codes["status"], type=codes["type"], product_type=codes["product_type"]),
    )
