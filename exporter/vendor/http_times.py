"""Read the times in HTTP headers: `Date` and `Retry-After`. Pure. Whatever a server writes there, nothing is raised."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Mapping

LONGEST_RETRY_AFTER = 600.0
"""Seconds of a pause that are obeyed at most: after them one request asks whether the server still means it."""

EPOCHS = 1e9
"""A `Retry-After` from here on is no number of seconds to wait, but a date: seconds since 1970 …"""
MILLISECONDS = 1e11
"""… or milliseconds."""

LATEST = int(dt.datetime(9999, 1, 1, tzinfo=dt.UTC).timestamp())
"""From here on a date leaves the calendar in some time zone."""


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, at most LONGEST_RETRY_AFTER; None if it asks for none.

    It is a number of seconds, or a moment: an HTTP date, or seconds or milliseconds since 1970 as some servers write
    them. A moment is compared with the server's own clock where it sends it, else with `now`, in Unix seconds.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        seconds = float(text[:300])
        if seconds < EPOCHS:
            return min(seconds, LONGEST_RETRY_AFTER)
        moment = seconds if seconds < MILLISECONDS else seconds / 1000
    elif (date := http_date(text)) is not None:
        moment = float(date)
    else:
        return None
    server_now = http_date(headers.get("Date", ""))
    return min(max(0.0, moment - (now if server_now is None else server_now)), LONGEST_RETRY_AFTER)


def http_date(text: str) -> int | None:
    """Return an HTTP date in Unix seconds; None if it is none, or beyond the calendar."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        seconds = int(moment.timestamp())
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return seconds if 0 <= seconds < LATEST else None
