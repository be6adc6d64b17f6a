"""Ask the API: one paced, retried POST. A request in, a decoded response or an error of ours out."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

import orjson

from exporter.config.options import Settings
from exporter.errors import ApiError, ExportError
from exporter.events import Answered, Event, Noticed, Refused, Retried, ignore
from exporter.http import shared_pace
from exporter.http.concurrency import Concurrency
from exporter.http.pacer import Pacer
from exporter.http.permits import Permit, PermitQueue, Priority, SharedPace, State
from exporter.http.retries import Attempts, Circuit, backoff
from exporter.http.transport import HttpTransport, Transport, is_in_the_clear
from exporter.http.wake_up import WakeUp
from exporter.vendor import envelope
from exporter.vendor.envelope import HttpResponse, MayPass, TooFrequent
from exporter.vendor.http_times import http_date
from exporter.vendor.orders import PageRequest, PageResponse, count_in

LATENCY_WEIGHT = 0.1
"""What the latest latency weighs in the smoothed one."""

TIMER_RESOLUTION = 0.001
"""asyncio rounds the waits of its timers up to milliseconds."""

LONG_BODY = 32 * 1024
"""Bytes of a body that takes its time to decode: a full page takes half a millisecond."""

RESUMES = "what is committed stays; the same command resumes when the server is well again"
PERSISTENT_REFUSALS = (
    "the server keeps refusing requests as too frequent at a pace of {rate:g} a second: another client seems to be "
    "using this key, or the key allows less than --rate"
)
LONG_WAIT = "no request leaves for {seconds:.0f} s: the server, or another export with this key, asked for a pause"
IN_THE_CLEAR = (
    "the key is sent to {address} without encryption (http): whoever is on the way can read it; use https, or another "
    "key for tests"
)
BYPASSED = (
    "a request left without waiting for its slot: this version of aiohttp writes bodies in a way that is not known"
)
BYPASSED_HINT = "install the version of aiohttp that requirements.lock names, and report this"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientStatistics:
    """What a client has done so far. `latency` (smoothed) and `margin` are in seconds."""

    requests: int
    """Attempts that left, whatever came of them."""
    responses: int
    retries: int
    rate_limited: int
    in_flight: int
    concurrency: int
    """The most in flight, as found out so far."""
    latency: float
    margin: float
    sending_seconds: float
    """From the first departure to the last."""


class Client:
    """An async context manager; `ask` may be called by many tasks at once.

    `transport`, `random` and `wall` (Unix seconds) replace the network, the dice and the wall clock in tests;
    everything else waits by the running loop's clock. Over the network the pace is shared with other processes; with a
    transport of one's own, only by a `shared` of one's own. Clients of one loop may share a `wake_up`, and
    a lock `decoding`, by which one of them decodes one page an iteration of the loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_event: Callable[[Event], None] = ignore,
        transport: Transport | None = None,
        shared: SharedPace | None = None,
        wake_up: WakeUp | None = None,
        decoding: asyncio.Lock | None = None,
        random: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._transport = HttpTransport(settings) if transport is None else transport
        self._shared = shared
        self._wake_up = wake_up
        self._random = random
        self._wall = wall
        self._pacer = Pacer(settings.rate)
        self._concurrency = Concurrency.of(settings.concurrency, rate=settings.rate, unpaced=self._pacer.unpaced)
        self._circuit = Circuit(max_attempts=settings.max_attempts, patience=settings.patience)
        self._places = count()
        self._long_bodies = decoding or asyncio.Lock()
        self._responses = 0
        self._retries = 0
        self._latency = 0.0
        self._noted_persistent = False
        self._date: tuple[str, int | None] = ("", None)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        real = isinstance(self._transport, HttpTransport)
        if real and self._shared is None:
            self._shared = await asyncio.to_thread(shared_pace.join, self._settings, on_event=self._emit_from_thread)
        if self._wake_up is None:
            self._wake_up = WakeUp(early=TIMER_RESOLUTION if real else 0.0)
        self._permits = PermitQueue(
            self._pacer, self._concurrency, self._shared, wake_up=self._wake_up, on_wait=self._waits
        )
        await self._transport.__aenter__()
        if real and is_in_the_clear(self._settings.base_url):
            self._on_event(Noticed(message=IN_THE_CLEAR.format(address=self._settings.base_url)))
        return self

    def _emit_from_thread(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._on_event, event)

    def _waits(self, seconds: float) -> None:
        self._on_event(Noticed(message=LONG_WAIT.format(seconds=seconds)))

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

    async def ask(self, request: PageRequest, *, urgent: bool = False, new_connection: bool = False) -> PageResponse:
        """Return the response to a request, however many attempts it takes; each takes a slot.

        Slots are granted in the order of asking, but urgent requests go first, and a refused one before them all.
        `new_connection`: one that no other request uses, before or after.
        Raise UnauthorizedError, RejectedError, or ApiError when the attempts or the patience are used up.
        """
        body = orjson.dumps(request.body())
        priority = Priority.URGENT if urgent else Priority.NORMAL
        place = next(self._places)
        attempts = self._circuit.attempts()
        while True:
            permit = self._permits.permit(priority, place)
            try:
                async with permit:
                    self._circuit.begin(self._loop.time())
                    reply = await self._transport.post(body, permit, new_connection=new_connection)
                    self._check_departure(permit)
                now = self._loop.time()
                latency = now - (now if permit.left_at is None else permit.left_at)  # decoding is no part of it
                if len(reply.body) >= LONG_BODY:
                    await self._decoding_order()
                return self._response(request, reply, latency=latency, in_flight=permit.in_flight)
            except TooFrequent as refusal:
                self._refused(request, permit, refusal)
                priority = Priority.REFUSED
                continue
            except MayPass as failure:
                pause = self._failed(request, failure, attempts)
            await asyncio.sleep(pause)

    def _check_departure(self, permit: Permit) -> None:
        """Raise what a response means whose request has not left in its slot.

        - The permit was never asked for its slot: what writes the body went another way, and the pace holds nothing
          back. Nothing else may leave then.
        - It still waits for it: the server sent something before it was asked, and is about to close the connection.
        """
        if permit.state == State.ADMITTED:
            self._pacer.pause(math.inf)
            raise ExportError(BYPASSED, hint=BYPASSED_HINT)
        if permit.state == State.READY:
            raise MayPass("the server answered before the request left")

    async def _decoding_order(self) -> None:
        """Wait until this body may be decoded: one in each iteration of the loop.

        Whatever waits for the loop, a judged segment or a request that may leave, thus waits for one page, not for all
        that have come.
        """
        async with self._long_bodies:
            await asyncio.sleep(0)

    def _response(self, request: PageRequest, reply: HttpResponse, *, latency: float, in_flight: int) -> PageResponse:
        """Decode a response and count it; raise what it means if it is no page."""
        wall = self._wall()
        data = envelope.read(reply, request, now=wall, secret=self._settings.api_key)
        self._responses += 1
        self._latency += (latency - self._latency) * (LATENCY_WEIGHT if self._responses > 1 else 1.0)
        self._circuit.came_through()
        self._permits.accepted()
        self._concurrency.answered(latency, in_flight)
        self._on_event(
            Answered(requests=self._pacer.departures, in_flight=self._permits.in_flight, latency=self._latency)
        )
        return PageResponse(
            request=request,
            records=data["list"],
            total=count_in(data, "total"),
            page=count_in(data, "page"),
            page_size=count_in(data, "pagesize"),
            total_page=count_in(data, "total_page"),
            number=self._responses,
            date=self._date_of(reply),
            received=wall,
            latency=latency,
        )

    def _refused(self, request: PageRequest, permit: Permit, refusal: TooFrequent) -> None:
        """Learn from a refusal, and report once what can't be learned away; raise ApiError when patience is used up."""
        now = self._loop.time()
        if why := self._circuit.refused(now):
            raise ApiError(f"{request}: {why}; the last refusal: too frequent", hint=RESUMES) from None
        pause = self._permits.refused(permit, refusal.retry_after, longest=self._circuit.patience_left(now))
        pace = self._pacer.statistics()
        self._on_event(Refused(count=pace.refusals, pause=pause, persistent=pace.persistent))
        if pace.persistent and not self._noted_persistent:
            self._noted_persistent = True
            self._on_event(Noticed(message=PERSISTENT_REFUSALS.format(rate=self._settings.rate)))

    def _failed(self, request: PageRequest, failure: MayPass, attempts: Attempts) -> float:
        """Return the pause before the next attempt, or raise if there is none."""
        now = self._loop.time()
        if why := self._circuit.failed(now, attempts, reached=failure.reached):
            hint = RESUMES if self._circuit.reached else failure.hint
            raise ApiError(f"{request}: {why}; the last failure: {failure}", hint=hint) from None
        self._retries += 1
        patience = self._circuit.patience_left(now)
        pause = min(backoff(attempts.failures, self._random()), patience)
        if failure.retry_after is not None:
            asked = min(failure.retry_after, patience)
            self._permits.pause(now + asked)
            pause = max(pause, asked)
        self._on_event(Retried(attempt=attempts.failures, reason=str(failure), pause=pause))
        return pause

    def _date_of(self, reply: HttpResponse) -> int | None:
        """Return the `Date` header in Unix seconds; it changes once a second, so the last one is remembered."""
        text = reply.headers.get("Date", "")
        if text != self._date[0]:
            self._date = (text, http_date(text))
        return self._date[1]
