"""Export without files: certified record batches, in order of time, no faster than they are taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import nullcontext, suppress
from functools import partial

import anyio
import pyarrow as pa
from anyio.streams.memory import MemoryObjectSendStream

from exporter.certify.extras import with_extras
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.config.options import Settings
from exporter.crawl.engine import Engine
from exporter.crawl.threads import OffLoop, Threads, off_loop, threads
from exporter.events import Committed, Event, Finished, ignore
from exporter.http.client import Client

AHEAD = 100_000
"""Rows that may wait for rows before them; windows that are further ahead are paused."""

QUEUED = 2
"""Batches that may wait for their reader."""


async def stream(
    settings: Settings, *, on_event: Callable[[Event], None] = ignore, pools: Threads | None = None
) -> AsyncGenerator[pa.RecordBatch, None]:
    """Yield all orders of the settings' range as certified record batches, in the result's order.

    The threads of `pools` are shared with other exports; without them this one starts its own, and ends them.
    Raise an ExportError where something can't be certified, or at the end if the end-to-end check fails.
    """
    send, receive = anyio.create_memory_object_stream[pa.RecordBatch](QUEUED)
    producer = asyncio.create_task(_produce(settings, send, on_event, pools))
    try:
        async with receive:
            async for batch in receive:
                yield batch
        await producer
    finally:
        producer.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await producer


async def _produce(
    settings: Settings,
    send: MemoryObjectSendStream[pa.RecordBatch],
    on_event: Callable[[Event], None],
    pools: Threads | None,
) -> None:
    with nullcontext(pools) if pools else threads() as workers:
        judging = off_loop(workers.judging)
        async with send, Client(settings, on_event=on_event) as client:
            ordered = _InOrderOfTime(send, on_event, judging, strict=settings.strict_values)
            engine = Engine(
                settings,
                client.ask,
                commit=ordered.commit,
                off_loop=judging,
                emit=on_event,
                latency=lambda: client.statistics.latency,
                clock=time.time,
                missing_at_most=0,
            )
            outcome = await engine.run(certificates=lambda: ordered.certificates, on_frozen=ordered.begin)
            if outcome.failure is not None:
                raise outcome.failure
            on_event(Finished(rows=ordered.rows, complete=True))


class _InOrderOfTime:
    """Take segments as they come, pass them on in order of time."""

    def __init__(
        self,
        send: MemoryObjectSendStream[pa.RecordBatch],
        on_event: Callable[[Event], None],
        off_loop: OffLoop,
        *,
        strict: bool,
    ) -> None:
        self.at = 0
        self.rows = 0
        self.certificates: list[Certificate] = []
        self._send = send
        self._on_event = on_event
        self._off_loop = off_loop
        self._strict = strict
        self._waiting: dict[int, tuple[Certificate, pa.Table]] = {}
        self._advanced = anyio.Condition()

    async def begin(self, whole: Span) -> None:
        """Start with the range's first second."""
        self.at = whole.start

    async def commit(self, certificate: Certificate, table: pa.Table) -> None:
        """Pass a segment on, or keep it until those before it came."""
        certificate = await self._off_loop(partial(with_extras, certificate, table, strict=self._strict))
        async with self._advanced:
            while certificate.span.start != self.at and self._ahead() > AHEAD:
                await self._advanced.wait()
            self._waiting[certificate.span.start] = certificate, table
            while self.at in self._waiting:
                await self._pass_on(*self._waiting.pop(self.at))
            self._advanced.notify_all()

    def _ahead(self) -> int:
        return sum(certificate.rows for certificate, _ in self._waiting.values())

    async def _pass_on(self, certificate: Certificate, table: pa.Table) -> None:
        for batch in table.to_batches():
            if batch.num_rows:
                await self._send.send(batch)
        self.at = certificate.span.stop
        self.rows += certificate.rows
        self.certificates.append(certificate)
        span = certificate.span
        self._on_event(Committed(start=span.start, stop=span.stop, rows=certificate.rows, total_rows=self.rows))
