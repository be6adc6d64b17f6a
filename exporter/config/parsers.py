"""Parse what a user wrote in a shell, an environment, a TOML file or Python, or say what is allowed instead.

A parser takes the value as it came and returns it checked and typed; it raises ValueError whose text completes the
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

Parser = Callable[[object], Any]
Moment = dt.date | dt.datetime
"""A day, or a date and time with or without an offset; a `datetime` is a `date` too, so ask for it first."""

YEARS = range(1970, 2101)
"""Years in which an order can have been made: outside them a typing mistake is sure."""

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, if there is one."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def whole(low: int, high: int) -> Parser:
    """Return a parser of whole numbers, both bounds inclusive."""

    def read(value: object) -> int:
        allowed = f"a whole number from {low:,} to {high:,} is needed"
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(allowed)
        return value

    return read


def number(*, zero: bool = False) -> Parser:
    """Return a parser of finite numbers above zero, or from zero on."""

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
    """Parse yes or no."""
    if isinstance(value, str) and (word := value.strip().lower()) in _TRUE | _FALSE:
        return word in _TRUE
    if not isinstance(value, bool):
        raise ValueError("true or false is needed")
    return value


def text(value: object) -> str:
    """Parse a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty is needed")
    return value.strip()


def texts(value: object) -> tuple[str, ...]:
    """Parse one text, several joined by commas, or a list; each once and sorted, so that a query stays the same."""
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, Iterable):
        raise ValueError("a text or a list of texts is needed")
    return tuple(sorted({text(one) for joined in several for one in text(joined).split(",")}))


def path(value: object) -> Path:
    """Parse the path of a file; `~` is the user's home."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError("the path of a file is needed")
    return Path(value).expanduser()


class OneOf:
    """Parse one of a few words, in any case."""

    def __init__(self, *words: str) -> None:
        self.choices = words
        self._known = {word.lower(): word for word in words}

    def __call__(self, value: object) -> str:
        """Return the word as it was declared; raise ValueError for another."""
        if not isinstance(value, str) or value.strip().lower() not in self._known:
            raise ValueError(f"one of {', '.join(self.choices)} is needed")
        return self._known[value.strip().lower()]


class Codes:
    """Parse codes: numbers or labels, of any language and case, one, a list, or joined by commas."""

    def __init__(self, labels: Mapping[str, Mapping[int, str]], synonyms: Mapping[str, int] | None = None) -> None:
        self._english = labels["en"]
        self._known = {_plain(label): code for table in labels.values() for code, label in table.items()}
        self._known |= {_plain(label): code for label, code in (synonyms or {}).items()}
        self._known |= {str(code): code for code in self._english}
        self.choices = tuple(_plain(label).replace(" ", "-") for label in self._english.values())

    def __call__(self, value: object) -> tuple[int, ...]:
        """Return each code once, sorted, so that a query stays the same; raise ValueError for an unknown one."""
        several = value.split(",") if isinstance(value, str) else value
        several = several if isinstance(several, Iterable) else [several]
        several = list(several)
        if not all(isinstance(one, str | int) for one in several):
            raise ValueError("a label or a code is needed, or a list of them")
        words = [word for one in several for word in str(one).split(",") if word.strip()]
        listed = ", ".join(f"{code} {label}" for code, label in self._english.items())
        if not words:
            raise ValueError(f"nothing is named, where at least one is needed of {listed}")
        unknown = next((word.strip() for word in words if _plain(word) not in self._known), None)
        if unknown is not None:
            guess = nearest(_plain(unknown), self._known)
            meant = f" (did you mean {self._english[self._known[guess]]}?)" if guess else ""
            raise ValueError(f"{unknown!r} is not one of {listed}{meant}")
        return tuple(sorted({self._known[_plain(word)] for word in words}))


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label.strip()).casefold()


def zone(value: object) -> str:
    """Parse the IANA name of a time zone."""
    name = text(value)
    try:
        return zoneinfo.ZoneInfo(name).key
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        if re.match(r"(utc|gmt)?[+-]?\d", name, re.IGNORECASE):
            raise ValueError("the IANA name of a time zone is needed, not an offset") from None
        meant = _ZONES_OF_OTHER_CITIES.get(name.lower()) or nearest(name, zoneinfo.available_timezones())
        guess = f" (did you mean {meant}?)" if meant else ""
        raise ValueError(f"there is no time zone of this name{guess}; an IANA name is needed") from None


_ZONES_OF_OTHER_CITIES = {"asia/beijing": "Asia/Shanghai", "beijing": "Asia/Shanghai", "china": "Asia/Shanghai"}
"""Names that people try first and the database of zones does not have; by spelling another city would be nearer."""


def base_url(value: object) -> str:
    """Parse the address of a server, without the endpoint."""
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
    """Parse an ISO 8601 date, or date and time to the second."""
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
    if isinstance(value, str) and (day := re.match(r"\s*(\d{4}-\d\d-\d\d)(?!\d)", value)) and not _is_day(day[1]):
        raise ValueError("there is no such day in the calendar")
    raise ValueError("an ISO 8601 date, or date and time, is needed")


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def first_instant(asked: Moment, timezone: str) -> dt.datetime:
    """Return the first second of what was asked; without an offset, in the time zone."""
    return _placed(asked, dt.time(), timezone, fold=0)


def last_instant(asked: Moment, timezone: str) -> dt.datetime:
    """Return the last second of what was asked, inclusive: of a day 23:59:59."""
    return _placed(asked, dt.time(23, 59, 59), timezone, fold=1)


def _placed(asked: Moment, of_a_day: dt.time, timezone: str, *, fold: int) -> dt.datetime:
    """Give a moment its zone. Where the clocks go back an hour comes twice: `fold` says which of the two is meant."""
    if not isinstance(asked, dt.datetime):
        return dt.datetime.combine(asked, of_a_day, zoneinfo.ZoneInfo(timezone)).replace(fold=fold)
    if asked.tzinfo is not None:
        return asked
    placed = asked.replace(tzinfo=zoneinfo.ZoneInfo(timezone), fold=fold)
    if placed.astimezone(dt.UTC).astimezone(placed.tzinfo).replace(tzinfo=None) != asked:
        raise ValueError(f"the clocks of {timezone} were put forward then: there was no such time")
    return placed
