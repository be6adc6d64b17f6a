"""Lay out text for people: tables, sizes, durations."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo

API_TIMEZONE = "Asia/Shanghai"
"""The zone of the API's own times."""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def counted(count: int, noun: str) -> str:
    """Return `1 order`, `1,200 orders`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Return bytes as people say them."""
    steps = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
    step, unit = next((step for step in steps if count >= step[0]), (1, "bytes"))
    return f"{count / step:,.1f} {unit}" if step > 1 else f"{count:,.0f} {unit}"


def duration(seconds: float) -> str:
    """Return seconds as `4.2 s`, from a minute on as `1:05` or `2:03:04`, from two days on as `3 days`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.0f} days"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def in_zone(text: str, timezone: str) -> str:
    """Return a text with its moments, which are the API's with `+08:00`, in another time zone."""
    zone = ZoneInfo(timezone)

    def local(found: re.Match[str]) -> str:
        try:
            return dt.datetime.fromisoformat(found[0]).astimezone(zone).isoformat()
        except (ValueError, OverflowError):  # no such day, or beyond the calendar
            return found[0]

    return _MOMENT.sub(local, text)


_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?\+08:00")
