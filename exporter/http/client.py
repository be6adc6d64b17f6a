"""Ask the API: one paced, retried POST; a question in, a decoded answer or an error of ours out."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Self

import orjson

from exporter.config.options import Settings
from exporter.errors import ApiError
from exporter.events import Answered, Event, Noticed, Refused, Retried, ignore
from exporter.http import shared_pace
from exporter.http.concurrency import Concurrency
from exporter.http.pacer import Pacer
from exporter.http.permits import NORMAL, REFUSED, URGENT, Permit, PermitQueue, SharedPace
from exporter.http.retries import Attempts, Circuit, backoff
from exporter.http.transport import HttpTransport, Transport
from exporter.vendor import envelope
from exporter.vendor.envelope import HttpResponse, MayPass, TooFrequent
from exporter.vendor.orders import PageRequest, PageResponse

LATENCY_WEIGHT = 0.1
"""What the latest answer weighs in the smoothed latency."""

TIMER_RESOLUTION = 0.001
"""asyncio rounds the waits of its timers up to milliseconds."""

LONG_BODY = 32 * 1024
"""Bytes of a reply that takes its time to decode: a full page takes half a millisecond."""

GOES_ON = "what is committed stays; the same command goes on when the server is well again"
PERSISTENT_REFUSALS = (
    "the server keeps refusing requests as too frequent at a pace of {rate:g} a second: another client seems to be "
    "using this key, or the key allows less than --rate"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientStatistics:
    """What a client has done so far. `latency` (smoothed) and `guard` are in seconds."""

    requests: int
    """Attempts that left, whatever came of them."""
    responses: int
    retries: int
    rate_limited: int
    in_flight: int
    concurrency: int
    """In flight at most, as found out so far."""
    latency: float
    margin: float
    sending_seconds: float
    """From the first departure to the last."""


class Client:
    """An async context manager; `ask` may be called by many tasks at once.

    `transport`, `random` and `wall` (Unix seconds) replace the network, the dice and the clock on the wall in tests;
    everything else waits by the running loop's clock. With a transport of one's own, the pace is shared with other
    processes only by a `shared` of one's own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_event: Callable[[Event], None] = ignore,
        transport: Transport | None = None,
        shared: SharedPace | None = None,
        random: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._transport = HttpTransport(settings) if transport is None else transport
        self._shared = shared
        self._random = random
        self._wall = wall
        self._pacer = Pacer(settings.rate)
        self._concurrency = Concurrency.of(settings.concurrency, rate=settings.rate, unpaced=self._pacer.unpaced)
        self._circuit = Circuit(max_attempts=settings.max_attempts, patience=settings.patience)
        self._places = count()
        self._long_bodies = asyncio.Lock()
        self._responses = 0
        self._retries = 0
        self._latency = 0.0
        self._told_persistent = False
        self._date: tuple[str, int | None] = ("", None)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        real = isinstance(self._transport, HttpTransport)
        if real and self._shared is None:
            self._shared = await asyncio.to_thread(shared_pace.join, self._settings, on_event=self._tell_from_thread)
        early = TIMER_RESOLUTION if real else 0.0
        self._permits = PermitQueue(self._pacer, self._concurrency, self._shared, early=early)
        await self._transport.__aenter__()
        return self

    def _tell_from_thread(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._on_event, event)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._permits.close()
        await self._transport.__aexit__(kind, error, traceback)
        if self._shared is not None:
            self._shared.close()

    @property
    def statistics(self) -> ClientStatistics:
        """What was done and learned so far."""
        pace = self._pacer.statistics()
        return ClientStatistics(
            requests=pace.departures,
            responses=self._responses,
            retries=self._retries,
            rate_limited=pace.refusals,
            in_flight=self._permits.in_flight,
            concurrency=self._concurrency.limit,
            latency=self._latency,
            margin=pace.margin,
            sending_seconds=pace.sending_seconds,
        )

    async def ask(self, request: PageRequest, *, urgent: bool = False) -> PageResponse:
        """Return the answer to a question, however many attempts it takes; each takes a slot.

        Slots are granted in the order of asking, but urgent questions go first, and a refused one before them all.
        Raise UnauthorizedError, RejectedError, or ApiError when the request or the patience is used up.
        """
        body = orjson.dumps(request.body())
        kind = URGENT if urgent else NORMAL
        place = next(self._places)
        attempts = self._circuit.attempts()
        while True:
            permit = self._permits.permit(kind, place)
            try:
                async with permit:
                    reply = await self._transport.post(body, permit)
                now = self._loop.time()
                latency = now - (now if permit.left_at is None else permit.left_at)  # decoding is no part of it
                if len(reply.body) >= LONG_BODY:
                    await self._in_line()
                return self._response(request, reply, latency=latency, in_flight=permit.in_flight)
            except TooFrequent as refusal:
                self._refused(permit, refusal)
                kind = REFUSED
                continue
            except MayPass as failure:
                pause = self._failed(request, failure, attempts)
            await asyncio.sleep(pause)

    async def _in_line(self) -> None:
        """Wait until it is this reply's turn to be decoded: one in a turn of the loop.

        Whoever waits for the loop, a judged segment or a request that may leave, thus waits for one page, not for all
        that have come.
        """
        async with self._long_bodies:
            await asyncio.sleep(0)

    def _response(self, request: PageRequest, reply: HttpResponse, *, latency: float, in_flight: int) -> PageResponse:
        """Decode a reply and count it; raise what else it stands for."""
        wall = self._wall()
        data = envelope.read(reply, request, now=wall, secret=self._settings.api_key)
        self._responses += 1
        self._latency += (latency - self._latency) * (LATENCY_WEIGHT if self._responses > 1 else 1.0)
        self._circuit.came_through()
        self._pacer.accepted()
        self._concurrency.answered(latency, in_flight)
        self._on_event(
            Answered(requests=self._pacer.departures, in_flight=self._permits.in_flight, latency=self._latency)
        )
        return PageResponse(
            request=request,
            records=data["list"],
            total=_count(data, "total"),
            page=_count(data, "page"),
            page_size=_count(data, "pagesize"),
            total_page=_count(data, "total_page"),
            number=self._responses,
            date=self._date_of(reply),
            received=wall,
            latency=latency,
            separators=envelope.may_separate(reply.body),
        )

    def _refused(self, permit: Permit, refusal: TooFrequent) -> None:
        """Learn from a refusal, and say once what can't be learned away."""
        pause = self._permits.refused(permit, refusal.retry_after)
        pace = self._pacer.statistics()
        self._on_event(Refused(count=pace.refusals, pause=pause, persistent=pace.persistent))
        if pace.persistent and not self._told_persistent:
            self._told_persistent = True
            self._on_event(Noticed(message=PERSISTENT_REFUSALS.format(rate=self._settings.rate)))

    def _failed(self, request: PageRequest, failure: MayPass, attempts: Attempts) -> float:
        """Return the pause before the next attempt, or raise if there is none."""
        now = self._loop.time()
        if why := self._circuit.failed(now, attempts):
            raise ApiError(f"{request}: {why}; the last failure: {failure}", hint=GOES_ON) from None
        self._retries += 1
        pause = min(backoff(attempts.failures, self._random()), self._circuit.patience_left(now))
        if failure.retry_after is not None:
            self._permits.pause(now + failure.retry_after)
            pause = max(pause, failure.retry_after)
        self._on_event(Retried(attempt=attempts.failures, reason=str(failure), pause=pause))
        return pause

    def _date_of(self, reply: HttpResponse) -> int | None:
        """Return the `Date` header in Unix seconds; it changes once a second, so the last one is remembered."""
        text = reply.headers.get("Date", "")
        if text != self._date[0]:
            self._date = (text, envelope.http_date(text))
        return self._date[1]


def _count(data: dict[str, Any], name: str) -> int | None:
    """Return a number of the envelope that is an integer and not negative."""
    number = data.get(name)
    return number if type(number) is int and number >= 0 else None
