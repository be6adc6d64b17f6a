"""`exporter plan`: what an export would take."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from exporter.cli.app import Origin, chosen, command, settings, team_settings
from exporter.cli.event_loop import asking, asking_each
from exporter.cli.reporting import say, warn, with_hint
from exporter.config.options import ConnectionOptions, OutputOptions, QueryOptions, RunOptions, Settings, options_of
from exporter.errors import ConfigError, ExportError
from exporter.progress.text import counted, duration, size, table

if TYPE_CHECKING:
    from exporter.crawl import preview

UNUSED = ("quiet", "log_file", "show_settings", *options_of(RunOptions).keys() - {"page_size", "compression"})
"""Options without effect here."""

EXAMPLES = """\
Examples:
  exporter plan
  exporter plan --start 2024-01-01 --type renewal --by month
"""


@command(QueryOptions, ConnectionOptions, RunOptions, OutputOptions, Origin, without=UNUSED, epilogue=EXAMPLES)
def plan(
    *,
    by: Annotated[
        Literal["month"] | None, Parameter(help="Count the orders of each month too, by one request each.")
    ] = None,
    **given: Any,
) -> int:
    """Show what an export would take: orders, requests, time, size. Sends one or two requests."""
    from exporter.crawl import preview
    from exporter.store import space

    options = chosen(given)
    if teams := team_settings(options, given):
        if by is not None:
            raise ConfigError("--by month counts one team", hint="leave it out, or choose one team's own settings")
        return _plan_teams(teams, as_json=options.values["json"])
    made = settings(options)

    async def count(ask: preview.Ask) -> tuple[preview.Preview, dict[str, int | None]]:
        seen = await preview.preview(ask, made, now=time.time())
        if by is None or seen.first is None:
            return seen, {}
        spans = preview.months(seen.first, seen.end if seen.last is None else seen.last, made.timezone)
        cost = duration(len(spans) / made.rate)
        say(f"counting {counted(len(spans), 'month')} by one request each, about {cost}")
        counts = await preview.by_month(ask, made, spans)
        return seen, {_local(first, made.timezone)[:7]: count for (first, _), count in zip(spans, counts, strict=True)}

    seen, months = asking(made, count)
    with suppress(ConfigError):  # of a current directory that was deleted: what was asked for is known all the same
        if seen.orders is not None and not (room := space(Path(), seen.orders)).enough:
            warn(f"this disk has too little space: {room}")
    if options.values["json"]:
        facts = _facts(seen, made)
        print(json.dumps(facts | ({"months": months} if by else {})))
        return 0
    print(table(_overview(seen, made)))
    if months:
        print(f"\n{table([(name, _count(orders)) for name, orders in months.items()])}")
    return 0


def _plan_teams(teams: Mapping[str, Settings], *, as_json: bool) -> int:
    """Show what each team and all of them take; return the smallest exit code of those that can't be asked."""
    from exporter.crawl import preview

    found = asking_each(teams, lambda made, ask: preview.preview(ask, made, now=time.time()))
    rows = [("team", "orders", "requests", "time", "size")]
    facts: dict[str, Any] = {}
    seen = {name: one for name, one in found.items() if not isinstance(one, ExportError)}
    failed = {name: one for name, one in found.items() if isinstance(one, ExportError)}
    for name, one in seen.items():
        facts[name] = _facts(one, teams[name])
        rows.append((name, _count(one.orders), *_cost(one.requests, one.seconds, one.bytes)))
    orders, requests, total = (
        sum(getattr(one, field) or 0 for one in seen.values()) for field in ("orders", "requests", "bytes")
    )
    slowest = max((one.seconds or 0.0 for one in seen.values()), default=0.0)
    rows.append(("all at once", f"{orders:,}", *_cost(requests, slowest, total)))
    if as_json:
        errors = {name: {"error": str(one), "exit": one.exit_code} for name, one in failed.items()}
        sums = {"orders": orders, "requests": requests, "seconds": slowest, "bytes": total}
        print(json.dumps({"teams": facts | errors, **sums}, ensure_ascii=False))
    else:
        print(table(rows))
    for name, error in failed.items():
        say(f"team {name}: {with_hint(error)}")
    return min((error.exit_code for error in failed.values()), default=0)


def _cost(requests: int | None, seconds: float | None, size_on_disk: int | None) -> tuple[str, str, str]:
    return (
        "-" if requests is None else f"{requests:,}",
        "-" if seconds is None else duration(seconds),
        "-" if size_on_disk is None else size(size_on_disk),
    )


def _facts(seen: preview.Preview, made: Settings) -> dict[str, Any]:
    """Return what `--json` prints of a preview."""
    facts = dataclasses.asdict(seen)
    for name in ("start", "end", "first", "last"):
        facts[name] = None if facts[name] is None else _local(facts[name], made.timezone)
    return facts


def _overview(seen: preview.Preview, made: Settings) -> list[tuple[str, str]]:
    """Return a preview as the rows of a table."""
    start, end, first, last = (
        "-" if second is None else _local(second, made.timezone)
        for second in (seen.start, seen.end, seen.first, seen.last)
    )
    if seen.first is not None and seen.last is None:
        last = "not known: the server " + ("gives no total" if seen.orders is None else "does not page that deep")
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
    return "not known: the server gives no total" if orders is None else f"{orders:,}"


def _local(second: int, timezone: str) -> str:
    return dt.datetime.fromtimestamp(second, ZoneInfo(timezone)).isoformat()
