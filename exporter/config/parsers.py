"""Read what a user wrote, from a shell, an environment, a TOML file or Python, or say what is allowed instead.

A reader takes the value as it came and returns it checked and typed; it raises ValueError whose text completes the
sentence "--option is 'value': …". Nothing here knows options by name.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
import os
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Reader = Callable[[object], Any]
Moment = dt.date | dt.datetime
"""A day, or a date and time with or without an offset; a `datetime` is a `date` too, so ask for it first."""

YEARS = range(1970, 2101)
"""Years in which an order can have been made: outside them a typing mistake is sure."""

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, if there is one."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def whole(low: int, high: int) -> Reader:
    """Return a reader of whole numbers, both bounds inclusive."""

    def read(value: object) -> int:
        allowed = f"a whole number from {low:,} to {high:,} is needed"
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(allowed)
        return value

    return read


def number(*, zero: bool = False) -> Reader:
    """Return a reader of finite numbers above zero, or from zero on."""

    def read(value: object) -> float:
        try:
            found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            found = math.nan
        if not math.isfinite(found) or found < 0 or (found == 0 and not zero):
            raise ValueError(f"a number {'of zero or more' if zero else 'above zero'} is needed")
        return found

    return read


def flag(value: object) -> bool:
    """Read yes or no."""
    if isinstance(value, str) and (word := value.strip().lower()) in _TRUE | _FALSE:
        return word in _TRUE
    if not isinstance(value, bool):
        raise ValueError("true or false is needed")
    return value


def text(value: object) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty is needed")
    return value.strip()


def texts(value: object) -> tuple[str, ...]:
    """Read one text, several joined by commas, or a list; each once and sorted, so that a query stays the same."""
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, Iterable):
        raise ValueError("a text or a list of texts is needed")
    return tuple(sorted({text(one) for joined in several for one in text(joined).split(",")}))


def path(value: object) -> Path:
    """Read the path of a file; `~` is the user's home."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError("the path of a file is needed")
    return Path(value).expanduser()


def one_of(*words: str) -> Reader:
    """Return a reader of one of a few words, in any case."""
    known = {word.lower(): word for word in words}

    def read(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in known:
            raise ValueError(f"one of {', '.join(words)} is needed")
        return known[value.strip().lower()]

    return read


def codes(labels: Mapping[str, Mapping[int, str]], synonyms: Mapping[str, int] | None = None) -> Reader:
    """Return a reader of codes: numbers or labels, of any language and case, one, a list, or joined by commas."""
    english = labels["en"]
    known = {_plain(label): code for table in labels.values() for code, label in table.items()}
    known |= {_plain(label): code for label, code in (synonyms or {}).items()}
    known |= {str(code): code for code in english}

    def read(value: object) -> tuple[int, ...]:
        several = value.split(",") if isinstance(value, str) else value
        several = several if isinstance(several, Iterable) else [several]
        words = [word for one in several for word in str(one).split(",") if word.strip()]
        unknown = next((word.strip() for word in words if _plain(word) not in known), None)
        if unknown is not None or not words:
            guess = nearest(_plain(unknown or ""), known)
            listed = ", ".join(f"{code} {label}" for code, label in english.items())
            meant = f" (did you mean {english[known[guess]]}?)" if guess else ""
            raise ValueError(f"{unknown or 'nothing'!r} is none of {listed}{meant}")
        return tuple(sorted({known[_plain(word)] for word in words}))

    return read


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label.strip()).casefold()


def zone(value: object) -> str:
    """Read the IANA name of a time zone."""
    try:
        return zoneinfo.ZoneInfo(text(value)).key
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError("the IANA name of a time zone is needed, not an offset") from None


def base_url(value: object) -> str:
    """Read the address of a server, without the endpoint."""
    address = text(value).rstrip("/")
    try:
        parts = urlsplit(address)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or parts.username or re.search(r"\s", address):
        raise ValueError("scheme and host of the API are needed (http:// or https://, no user, no query)")
    return address


def moment(value: object) -> Moment:
    """Read an ISO 8601 date, or date and time to the second."""
    found = value if isinstance(value, dt.date) else _parsed(value)
    if found.year not in YEARS:
        raise ValueError(f"a year from {YEARS[0]} to {YEARS[-1]} is needed")
    if isinstance(found, dt.datetime) and found.microsecond:
        raise ValueError("times go to the second here: fractions have no meaning for the API")
    return found


def _parsed(value: object) -> Moment:
    for parse in (dt.date.fromisoformat, dt.datetime.fromisoformat):
        try:
            return parse(value.strip())  # type: ignore[attr-defined]  # whatever has no strip is no text
        except (ValueError, AttributeError):
            continue
    raise ValueError("an ISO 8601 date, or date and time, is needed")


def first_instant(asked: Moment, timezone: str) -> dt.datetime:
    """Return the first second of what was asked; without an offset, in the time zone."""
    return _placed(asked, dt.time(), timezone, fold=0)


def last_instant(asked: Moment, timezone: str) -> dt.datetime:
    """Return the last second of what was asked, inclusive: of a day 23:59:59."""
    return _placed(asked, dt.time(23, 59, 59), timezone, fold=1)


def _placed(asked: Moment, of_a_day: dt.time, timezone: str, *, fold: int) -> dt.datetime:
    """Give a moment its zone. Where the clocks go back an hour comes twice: `fold` tells which of the two is meant."""
    if not isinstance(asked, dt.datetime):
        return dt.datetime.combine(asked, of_a_day, zoneinfo.ZoneInfo(timezone)).replace(fold=fold)
    if asked.tzinfo is not None:
        return asked
    placed = asked.replace(tzinfo=zoneinfo.ZoneInfo(timezone), fold=fold)
    if placed.astimezone(dt.UTC).astimezone(placed.tzinfo).replace(tzinfo=None) != asked:
        raise ValueError(f"the clocks of {timezone} were put forward then: there was no such time")
    return placed
