"""Look before the export: what there is, what it would take, whether the key, the host and the clock are right."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from exporter.certify.filters import check_filters
from exporter.config.options import Settings
from exporter.crawl.settled import settled_end
from exporter.errors import RejectedError
from exporter.events import MORE_THAN_PAGES
from exporter.vendor.orders import PageRequest, PageResponse, Record, second_of

Ask = Callable[[PageRequest], Awaitable[PageResponse]]

CLOCK_TOLERANCE = 60
"""Seconds that the local clock may differ from the server's before it counts as wrong."""
FOOTER = 4_000
"""Bytes of a Parquet file in addition to its columns: schema and statistics."""
CAPS = frozenset({10_000, 50_000, 100_000})
"""Totals at which search back ends are used to stop counting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What an export would meet; None where the server did not say. `first` and `last` are Unix seconds."""

    start: int
    end: int
    orders: int | None
    maybe_capped: bool
    first: int | None
    last: int | None
    pages: int | None
    requests: int | None
    seconds: float | None
    bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What one request shows of the connection. `clock_offset` is how far the local clock is ahead, in seconds."""

    host: str
    latency: float
    clock_offset: float | None

    @property
    def clock_right(self) -> bool | None:
        """Whether it is right to a minute; None: the server gives no time."""
        return None if self.clock_offset is None else abs(self.clock_offset) < CLOCK_TOLERANCE


async def preview(ask: Ask, settings: Settings, *, now: float) -> Preview:
    """Return what the range holds, by one request, two if there is more than a page.

    One more is sent where the local clock, by which the first one goes, is wrong: a range ends by the server's.
    """
    latest = int(now) - settings.settle
    end = latest if settings.end is None else min(settings.end, latest)
    request = _request(settings, settings.start, max(settings.start, end))
    response = await _first_page(ask, request, settings)
    end = settled_end(settings, int(now) if response.date is None else response.date)
    if abs(end - request.last) > CLOCK_TOLERANCE:
        request = replace(request, last=end)
        response = await _first_page(ask, request, settings)
    total, records = response.total, response.records
    size = len(records) if records and total is not None and total > len(records) else settings.page_size
    pages = None if total is None else max(1, math.ceil(total / size))
    last: Sequence[Record] = ()  # without a total, the first page may be the last one or not
    if pages is not None:
        last = records if pages == 1 else await _last_page(ask, request, pages)
    requests = None if pages is None else pages + MORE_THAN_PAGES
    return Preview(
        start=settings.start,
        end=end,
        orders=total,
        maybe_capped=total in CAPS,
        first=second_of(records[0]) if records else None,
        last=second_of(last[-1]) if last else None,
        pages=pages,
        requests=requests,
        seconds=None if requests is None else requests / settings.rate,
        bytes=None if total is None else _size_on_disk(records, total, settings),
    )


async def by_month(ask: Ask, settings: Settings, months: Sequence[tuple[int, int]]) -> list[int | None]:
    """Return the total of each month, by one request each."""
    requests = [_request(settings, first, last, page_size=1) for first, last in months]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_total(ask, request)) for request in requests]
    return [task.result() for task in tasks]


def months(first: int, last: int, timezone: str) -> list[tuple[int, int]]:
    """Return the months that `[first, last]` touches, as closed spans of Unix seconds that tile it."""
    zone, spans, start = ZoneInfo(timezone), [], first
    while start <= last:
        day = dt.datetime.fromtimestamp(start, zone)
        following = dt.datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=zone)
        stop = int(following.timestamp())
        spans.append((start, min(stop - 1, last)))
        start = stop
    return spans


async def check(ask: Ask, settings: Settings, *, now: float) -> Health:
    """Return whether key, host and clock are right, by one request; raise what the request raises."""
    response = await ask(_request(settings, int(now) - 86_400, int(now), page_size=1))
    # The Date header is cut to the second, and was written while the response was on its way.
    offset = None if response.date is None else response.received - (response.date + 0.5)
    return Health(host=settings.base_url, latency=response.latency, clock_offset=offset)


def _request(settings: Settings, first: int, last: int, *, page_size: int | None = None) -> PageRequest:
    return PageRequest(first=first, last=last, page_size=page_size or settings.page_size, filters=settings.filters)


async def _first_page(ask: Ask, request: PageRequest, settings: Settings) -> PageResponse:
    response = await ask(request)
    check_filters(response, language=settings.language)
    return response


async def _last_page(ask: Ask, request: PageRequest, number: int) -> Sequence[Record]:
    """Return the last page, empty where the server does not go that deep."""
    try:
        return (await ask(replace(request, page=number))).records
    except RejectedError:
        return ()


async def _total(ask: Ask, request: PageRequest) -> int | None:
    return (await ask(request)).total


def _size_on_disk(records: Sequence[Record], orders: int, settings: Settings) -> int:
    """Return about how many bytes of Parquet the orders make, judged by one page of them."""
    import pyarrow as pa  # noqa: PLC0415  # heavy: only when there is something to measure
    import pyarrow.parquet as pq  # noqa: PLC0415

    from exporter.columns import gather, typed  # noqa: PLC0415

    table = typed([gather(records)], timezone=settings.timezone, language=settings.language)
    file = pa.BufferOutputStream()
    pq.write_table(table, file, compression=settings.compression)
    group = pq.read_metadata(pa.BufferReader(file.getvalue())).row_group(0)
    columns = sum(group.column(place).total_compressed_size for place in range(group.num_columns))
    return FOOTER + (columns * orders // len(records) if records else 0)
