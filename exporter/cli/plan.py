"""`exporter plan` and `exporter check`: ask the API a little, write nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from exporter.cli.app import Origin, chosen, command, settings
from exporter.cli.run import until_stopped
from exporter.config.options import ConnectionOptions, OutputOptions, QueryOptions, RunOptions, Settings, options_of
from exporter.events import Event
from exporter.progress.tally import message
from exporter.progress.text import counted, duration, size, table

if TYPE_CHECKING:
    from exporter.crawl import preview

Result = TypeVar("Result")

UNUSED = ("quiet", "log_file", "show_settings", *options_of(RunOptions).keys() - {"page_size", "compression"})
"""Options that mean nothing here."""

PLAN_EXAMPLES = """\
Examples:
  exporter plan
  exporter plan --start 2024-01-01 --type renewal --by month
"""
CHECK_EXAMPLES = """\
Examples:
  exporter check
  exporter check --site mainland --api-key-file ~/.duoplus-key
"""


@command(QueryOptions, ConnectionOptions, RunOptions, OutputOptions, Origin, without=UNUSED, epilogue=PLAN_EXAMPLES)
def plan(
    *,
    by: Annotated[
        Literal["month"] | None, Parameter(help="Count the orders of each month, too, by one request each.")
    ] = None,
    **given: Any,
) -> int:
    """Tell what an export would take: orders, requests, time, size. Sends one or two requests."""
    from exporter.crawl import preview
    from exporter.store import space

    options = chosen(given)
    made = settings(options)

    async def look(ask: preview.Ask) -> tuple[preview.Preview, dict[str, int | None]]:
        seen = await preview.preview(ask, made, now=time.time())
        if by is None or seen.first is None:
            return seen, {}
        spans = preview.months(seen.first, seen.end if seen.last is None else seen.last, made.timezone)
        cost = duration(len(spans) / made.rate)
        print(f"counting {counted(len(spans), 'month')} by one request each, about {cost}", file=sys.stderr)
        counts = await preview.by_month(ask, made, spans)
        return seen, {_local(first, made.timezone)[:7]: count for (first, _), count in zip(spans, counts, strict=True)}

    seen, months = asking(made, look)
    if seen.orders is not None and not (room := space(Path(), seen.orders)).enough:
        print(f"warning: this disk will not do: {room}", file=sys.stderr)
    if options.values["json"]:
        facts = dataclasses.asdict(seen)
        for name in ("start", "end", "first", "last"):
            facts[name] = None if facts[name] is None else _local(facts[name], made.timezone)
        print(json.dumps(facts | ({"months": months} if by else {})))
        return 0
    print(table(_overview(seen, made)))
    if months:
        print(f"\n{table([(name, _count(orders)) for name, orders in months.items()])}")
    return 0


def _overview(seen: preview.Preview, made: Settings) -> list[tuple[str, str]]:
    """Return what a preview tells, as rows of a table."""
    start, end, first, last = (
        "-" if second is None else _local(second, made.timezone)
        for second in (seen.start, seen.end, seen.first, seen.last)
    )
    if seen.first is not None and seen.last is None:
        last = "not known: the server does not page that deep"
    capped = ", perhaps more: the server may count no further" if seen.maybe_capped else ""
    rows = [("orders", _count(seen.orders) + capped), ("range", f"{start} to {end}")]
    rows += [("first order", first), ("last order", last)]
    if seen.requests is not None and seen.seconds is not None and seen.bytes is not None:
        rows += [
            ("requests", f"about {seen.requests:,}"),
            ("time", f"about {duration(seen.seconds)} at {made.rate:g}/s"),
            ("size", f"about {size(seen.bytes)}"),
        ]
    return rows


def _count(orders: int | None) -> str:
    return "not told by the server" if orders is None else f"{orders:,}"


@command(ConnectionOptions, OutputOptions, Origin, without=UNUSED, epilogue=CHECK_EXAMPLES)
def check(**given: Any) -> int:
    """Tell whether the key is accepted, the host reachable, the clock right. Sends one request."""
    from exporter.crawl import preview

    options = chosen(given)
    made = dataclasses.replace(settings(options), max_attempts=1, patience=0.0)
    health = asking(made, lambda ask: preview.check(ask, made, now=time.time()))
    facts = {
        "host": health.host,
        "key": made.api_key.masked,
        "latency_seconds": round(health.latency, 3),
        "clock_offset_seconds": None if health.clock_offset is None else round(health.clock_offset, 1),
        "clock_right": health.clock_right,
    }
    if options.values["json"]:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    answer = f"{health.host} answers in {health.latency * 1000:,.0f} ms"
    print(table([("host", answer), ("key", f"{facts['key']} is accepted"), ("clock", _clock(health))]))
    return 0


def _clock(health: preview.Health) -> str:
    offset = health.clock_offset
    if offset is None:
        return "the server tells no time"
    if health.clock_right:
        return "right"
    return f"{duration(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the server's; exports go by the server's"


def _local(second: int, timezone: str) -> str:
    return dt.datetime.fromtimestamp(second, ZoneInfo(timezone)).isoformat()


def asking(made: Settings, look: Callable[[preview.Ask], Awaitable[Result]]) -> Result:
    """Do it with a client; tell on stderr what a reader should know while it waits."""
    from exporter.http.client import Client

    def tell(event: Event) -> None:
        if text := message(event):
            print(text, file=sys.stderr)

    async def work() -> Result:
        async with Client(made, on_event=tell) as client:
            return await look(client.ask)

    return until_stopped(work())
