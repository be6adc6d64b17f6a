"""Export to disk: where client, engine and store meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pyarrow as pa

from exporter import columns
from exporter.certify.extras import with_extras
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span, pages_of
from exporter.config.options import Settings
from exporter.crawl.engine import MISSING_AT_MOST, Engine, Opened, Outcome
from exporter.crawl.threads import InOrder, OffLoop, Threads, off_loop, threads
from exporter.errors import ExportError, OutputError
from exporter.events import Committed, Event, Finished, Noticed, Resumed, Started, ignore
from exporter.http.client import Client
from exporter.http.pacer import UNPACED
from exporter.http.transport import HttpTransport
from exporter.http.wake_up import WakeUp
from exporter.progress.summary import Summary
from exporter.store import Manifest, RowBudget, RunFacts, Store, space
from exporter.vendor.orders import wire_time


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What the exports of one process share: threads, connections, one timer, rows that may wait in memory."""

    threads: Threads
    budget: RowBudget
    connector: aiohttp.BaseConnector | None = None
    """None: each export has connections of its own."""
    wake_up: WakeUp | None = None
    decoding: asyncio.Lock | None = None


async def export(
    out: Path,
    settings: Settings,
    *,
    on_event: Callable[[Event], None] = ignore,
    resources: Resources | None = None,
    on_opened: Opened | None = None,
) -> Summary:
    """Export all orders of the settings' range to OUT, or resume what an earlier run of the same query began.

    `resources` are shared with other exports; without them this one has its own, and ends them.
    Raise an ExportError if it can't be done; what is committed stays.
    """
    began = time.monotonic()
    with nullcontext(resources) if resources else own_resources() as shared:
        on_disk = off_loop(InOrder(shared.threads.disk))
        async with _opened(out, settings, shared, on_disk) as opened:
            if isinstance(opened, Manifest):
                summary = summary_of(out, opened, elapsed=time.monotonic() - began)
            else:
                run = Run(
                    out,
                    settings,
                    opened,
                    resources=shared,
                    on_disk=on_disk,
                    on_event=on_event,
                    on_opened=on_opened,
                )
                summary = await run.run(began)
    on_event(Finished(rows=summary.rows, complete=summary.complete))
    return summary


@contextmanager
def own_resources() -> Iterator[Resources]:
    """Start the threads of one export; end them with it."""
    with threads() as pools:
        yield Resources(threads=pools, budget=RowBudget())


def query_of(settings: Settings) -> dict[str, Any]:
    """Return what decides whether two runs ask for the same: the rest of the settings may change between them."""
    return {
        "base_url": settings.base_url,
        "start": settings.start_asked,
        "end": settings.end_asked,
        **asdict(settings.filters),
        "language": settings.language,
        "timezone": settings.timezone,
        "strict_values": settings.strict_values,
        "compression": settings.compression,
    }


@asynccontextmanager
async def _opened(
    out: Path, settings: Settings, resources: Resources, on_disk: OffLoop
) -> AsyncIterator[Store | Manifest]:
    """Give a store to work with, closed at the end, or the manifest of a result that is finished."""
    opening = asyncio.ensure_future(
        on_disk(
            partial(
                Store.open,
                out,
                query_of(settings),
                schema=columns.schema(timezone=settings.timezone, language=settings.language),
                whole=None if settings.end is None else Span(settings.start, settings.end + 1),
                compression=settings.compression,
                parts_executor=InOrder(resources.threads.parts),
                budget=resources.budget,
                fresh=settings.fresh,
                overwrite=settings.overwrite,
            )
        )
    )
    try:
        opened = await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread opens it all the same: what it has locked must be released, also if the process lives on.
        with suppress(ExportError):
            if isinstance(unwanted := await opening, Store):
                await on_disk(unwanted.close)
        raise
    try:
        yield opened
    finally:
        if isinstance(opened, Store) and not opened.closed:
            with anyio.CancelScope(shield=True):
                await on_disk(opened.close)


class Run:
    """One run over a result that is not finished."""

    def __init__(
        self,
        out: Path,
        settings: Settings,
        store: Store,
        *,
        resources: Resources,
        on_disk: OffLoop,
        on_event: Callable[[Event], None],
        on_opened: Opened | None,
    ) -> None:
        self._out = out
        self._settings = settings
        self._store = store
        self._resources = resources
        self._on_opened = on_opened
        self._on_disk = on_disk
        self._on_event = on_event
        self._before = sum(one.rows for one in store.certificates)
        self._rows = self._before
        self._expected: int | None = None

    async def run(self, began: float) -> Summary:
        """Cover what is left, check the whole, write the result."""
        settings = self._settings
        for notice in self._store.notices:
            self._on_event(Noticed(message=notice))
        self._report_what_is_held()
        shared = self._resources
        transport = HttpTransport(settings, connector=shared.connector)
        async with Client(
            settings, on_event=self._on_event, transport=transport, wake_up=shared.wake_up, decoding=shared.decoding
        ) as client:
            engine = Engine(
                settings,
                client.ask,
                commit=self._commit,
                off_loop=off_loop(shared.threads.judging),
                emit=self._emit,
                latency=lambda: client.statistics.latency,
                clock=time.time,
                missing_at_most=None if settings.allow_uncertified else MISSING_AT_MOST,
                on_opened=self._on_opened,
            )
            outcome = await self._crawl(engine)
        failure = outcome.failure
        if failure is not None and not settings.allow_uncertified:
            raise failure
        done = client.statistics
        facts = RunFacts(
            complete=failure is None,
            requests=done.requests,
            retries=done.retries,
            rate_limited=done.rate_limited,
            repaired_segments=engine.session.repaired,
            windows=engine.windows,
            final_check=outcome.checked,
            totals=engine.profile.totals,
            cap=engine.profile.cap,
            padded=engine.profile.padded,
            uncertified=tuple(map(str, sorted(engine.session.missing))) or (str(failure),) * bool(failure),
            rate=settings.rate if settings.rate <= UNPACED else None,
            elapsed_seconds=round(time.monotonic() - began, 3),
            sending_seconds=round(done.sending_seconds, 3),
            latency_seconds=round(done.latency, 6),
        )
        manifest = await self._on_disk(partial(self._finish, facts, sorted(engine.session.missing)))
        return summary_of(
            self._out,
            manifest,
            elapsed=time.monotonic() - began,
            fetched=self._fetched(manifest),
            page_size=settings.page_size,
        )

    async def _crawl(self, engine: Engine) -> Outcome:
        """Cover what is left of the range, and check the whole."""
        store = self._store
        return await engine.run(
            store.whole,
            certificates=lambda: store.certificates,
            read=store.read,
            on_frozen=partial(self._begin, engine),
        )

    def _finish(self, facts: RunFacts, missing: Sequence[Span]) -> Manifest:
        """Write the result; this blocks."""
        return self._store.finish(facts, missing=missing)

    def _fetched(self, manifest: Manifest) -> int:
        """Return how many rows of the result came in this run."""
        return manifest.rows - self._before

    def _report_what_is_held(self) -> None:
        end = self._frozen_end
        if self._before or end is not None:
            self._on_event(Resumed(rows=self._before, segments=len(self._store.certificates), end=end))

    @property
    def _frozen_end(self) -> int | None:
        """The last second of the range, if an earlier run froze it there: an open end, or one that had not passed."""
        whole, asked = self._store.whole, self._settings.end
        return whole.stop - 1 if whole is not None and (asked is None or whole.stop - 1 < asked) else None

    def _emit(self, event: Event) -> None:
        """Pass an event on; warn when it announces more orders than the disk has space for."""
        self._on_event(event)
        if isinstance(event, Started) and event.total is not None:
            self._expected = event.total
            room = space(self._out, event.total - event.committed)
            if not room.enough:
                self._on_event(Noticed(message=f"the disk of {self._out} is too small: {room}"))

    async def _begin(self, engine: Engine, whole: Span) -> None:
        """Store the range that was frozen; raise OutputError if the key is another team's."""
        if self._store.whole is None:
            await self._on_disk(self._store.freeze, whole)
        await self._check_team(engine)

    async def _check_team(self, engine: Engine) -> None:
        """Raise OutputError if the key belongs to another team than the one whose orders are committed."""
        spans = [one.span for one in self._store.certificates if one.rows]
        if not spans:
            return
        held = [await self._on_disk(self._store.read, span) for span in some_of(spans)]
        if len(held) == 1:  # of one segment, its first and its last order, too
            held += [held[0][:1], held[0][-1:]]
        if not await engine.is_same_team(held):
            raise OutputError(
                f"{self._out} was begun with another team's key: "
                f"none of the orders asked for of {spans[0]} and later came again, with no filter either",
                hint="use the first key again, choose another OUT, or drop what is unfinished with --fresh",
            )

    async def _commit(self, certificate: Certificate, table: pa.Table) -> None:
        await self._on_disk(self._store_segment, certificate, table)
        self._rows += certificate.rows
        span = certificate.span
        self._on_event(Committed(start=span.start, stop=span.stop, rows=certificate.rows, total_rows=self._rows))

    def _store_segment(self, certificate: Certificate, table: pa.Table) -> None:
        if self._expected is not None:
            self._store.expect(self._expected)
        self._store.commit(with_extras(certificate, table, strict=self._settings.strict_values), table)


def some_of(spans: Sequence[Span]) -> list[Span]:
    """Return the first, the middle and the last of some spans."""
    return [spans[place] for place in sorted({0, len(spans) // 2, len(spans) - 1})]


def summary_of(
    out: Path, manifest: Manifest, *, elapsed: float, fetched: int | None = None, page_size: int = 1
) -> Summary:
    """Return the figures of a run that ended with this manifest; `fetched` rows came in it (None: it sent nothing)."""
    run = manifest.run
    sent_nothing = fetched is None
    return Summary(
        complete=manifest.complete,
        rows=manifest.rows,
        requests=0 if sent_nothing else run.requests,
        requests_ideal=0 if fetched is None else max(1, pages_of(fetched, page_size)),
        retries=0 if sent_nothing else run.retries,
        rate_limited=0 if sent_nothing else run.rate_limited,
        repaired_segments=run.repaired_segments,
        segments=len(manifest.segments),
        windows=run.windows,
        parts=len(manifest.parts),
        bytes=sum(part.bytes for part in manifest.parts),
        start=wire_time(manifest.whole.start),
        end=wire_time(manifest.whole.stop - 1),
        final_check=run.final_check,
        totals=run.totals,
        elapsed_seconds=round(elapsed, 3),
        rows_per_second=round((fetched or 0) / elapsed, 1),
        values_in_extra=sum(segment.certificate.values_in_extra for segment in manifest.segments),
        out=str(out),
        uncertified=run.uncertified,
    )
