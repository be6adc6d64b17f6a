"""Settings, validated and frozen, and the one declaration of the options that they are made from.

The groups of options (`Query`, `Connection`, `Work`, `Output`) feed the command line, the environment, TOML files and
Python's keyword arguments; `sources` takes each option from the first of these that names it. Nothing below checks
an option again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict, get_args, get_type_hints

from exporter.config import parsers as readers
from exporter.vendor.orders import (
    LANGUAGES,
    MAX_PAGE_SIZE,
    PRODUCT_LABELS,
    SITES,
    STATUS_LABELS,
    TYPE_LABELS,
    TYPE_SYNONYMS,
    Filters,
)
from exporter.vendor.secret import Secret

EARLIEST = "2015-01-01"
"""Where the range of an export starts that names no start: before the vendor's first order."""
KEY_VARIABLE = "DUOPLUS_API_KEY"
COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one export works with. Times are Unix seconds, both ends inclusive; durations are in seconds."""

    base_url: str = SITES["international"]
    api_key: Secret
    start: int
    end: int | None
    """None: up to the moment of the first start."""
    start_asked: str
    end_asked: str | None
    """The range as the user wrote it, with the offset it was read with: what decides whether work goes on."""
    settle: int = 300
    """Seconds before the server's present at which a range ends at the latest."""
    filters: Filters = field(default_factory=Filters)
    language: str = "en"
    timezone: str = "Asia/Shanghai"
    rate: float = 1.0
    """Requests a second."""
    concurrency: int | None = None
    """Requests in flight at most; None: as many as pay, found out while running."""
    timeout: float = 60.0
    max_attempts: int = 8
    patience: float = 900.0
    windows: int | None = None
    segment_pages: int = 20
    page_size: int = MAX_PAGE_SIZE
    strict_values: bool = False
    allow_uncertified: bool = False
    final_check: bool = True
    fresh: bool = False
    overwrite: bool = False
    compression: str = "zstd"


@dataclass(frozen=True, slots=True)
class Option:
    """What a user may say: what it means, how it is read, an example, and what holds when nothing is said."""

    help: str
    read: readers.Reader
    example: Any = None
    default: Any = field(default=None, kw_only=True)
    unsaid: str | None = field(default=None, kw_only=True)
    """What holds without a default, in words."""
    many: bool = field(default=False, kw_only=True)
    """It may be said several times."""

    @property
    def described(self) -> str:
        """Its help, with what holds when nothing is said."""
        holds = self.unsaid or (None if self.default is None or self.default is False else str(self.default))
        return f"{self.help} [default: {holds}]" if holds else self.help


def _flag(help_text: str) -> Option:
    return Option(help_text, readers.flag, default=False)


Time = dt.date | dt.datetime | str
Codes = str | int | Sequence[str | int]
"""Codes or labels: one, a list, or several in one text, joined by commas."""


class QueryOptions(TypedDict, total=False):
    """Which orders."""

    start: Annotated[
        Time,
        Option(
            "First moment of the range: an ISO date, or date and time, with or without offset.",
            readers.moment,
            "2024-01-31",
            default=EARLIEST,
        ),
    ]
    end: Annotated[
        Time,
        Option(
            "Last moment of the range, inclusive; a date means to its last second. No later than --settle allows.",
            readers.moment,
            "2024-12-31T18:00:00+08:00",
            unsaid="the moment of the first start, less --settle",
        ),
    ]
    settle: Annotated[
        int,
        Option(
            "Seconds before the server's present at which the range ends at the latest: replicas of a server may lag.",
            readers.whole(0, 86_400),
            300,
            default=300,
        ),
    ]
    status: Annotated[
        Codes,
        Option(
            "Only orders of this status: label or code, repeatable or joined by commas.",
            readers.codes(STATUS_LABELS),
            "paid,finished",
            unsaid="all",
            many=True,
        ),
    ]
    type: Annotated[
        Codes,
        Option(
            "Only orders of this type: label or code, repeatable or joined by commas.",
            readers.codes(TYPE_LABELS, TYPE_SYNONYMS),
            "renewal,refund",
            unsaid="all",
            many=True,
        ),
    ]
    product_type: Annotated[
        Codes,
        Option(
            "Only orders of this product: label or code, repeatable or joined by commas. Records don't show it.",
            readers.codes(PRODUCT_LABELS),
            "cloud-phone",
            unsaid="all",
            many=True,
        ),
    ]
    image_id: Annotated[
        str | Sequence[str],
        Option(
            "Only orders of this cloud phone's image: repeatable or joined by commas. Records don't show it.",
            readers.texts,
            "aBc1D",
            unsaid="all",
            many=True,
        ),
    ]
    order_id: Annotated[str, Option("Only the order of this number.", readers.text, "202401010001", unsaid="all")]
    lang: Annotated[
        str,
        Option(
            f"Language that the API answers in: {', '.join(LANGUAGES)}.",
            readers.one_of(*LANGUAGES),
            "zh",
            default="en",
        ),
    ]
    timezone: Annotated[
        str,
        Option(
            "Time zone of the result, and of times given without an offset: an IANA name.",
            readers.zone,
            "Europe/Berlin",
            default="Asia/Shanghai",
        ),
    ]


class ConnectionOptions(TypedDict, total=False):
    """How the API is reached."""

    site: Annotated[
        str,
        Option(
            f"Site of the vendor: {' or '.join(SITES)}.", readers.one_of(*SITES), "mainland", default="international"
        ),
    ]
    base_url: Annotated[
        str,
        Option(
            "Address of the API, instead of a site.",
            readers.base_url,
            "https://openapi.duoplus.net",
            unsaid="the site's",
        ),
    ]
    api_key_file: Annotated[
        str | Path, Option("File that holds the key.", readers.path, "~/.duoplus-key", unsaid=f"${KEY_VARIABLE}")
    ]
    rate: Annotated[float, Option("Requests a second that the API allows.", readers.number(), 1, default=1)]
    concurrency: Annotated[
        int, Option("Requests in flight at most, 1 to 256.", readers.whole(1, 256), 8, unsaid="as many as pay")
    ]
    timeout: Annotated[float, Option("Seconds to wait for one answer.", readers.number(), 60, default=60)]
    max_attempts: Annotated[int, Option("Attempts at one request, 1 to 100.", readers.whole(1, 100), 8, default=8)]
    patience: Annotated[
        float,
        Option("Seconds to go on for while nothing at all comes through.", readers.number(zero=True), 900, default=900),
    ]


class RunOptions(TypedDict, total=False):
    """How the work is done."""

    windows: Annotated[
        int,
        Option("Parts of the range worked in parallel, 1 to 256.", readers.whole(1, 256), 4, unsaid="as many as pay"),
    ]
    segment_pages: Annotated[
        int,
        Option("Pages certified together, 1 to 100; 1 asks page by page.", readers.whole(1, 100), 20, default=20),
    ]
    page_size: Annotated[
        int,
        Option(
            f"Orders a page, 1 to {MAX_PAGE_SIZE}.",
            readers.whole(1, MAX_PAGE_SIZE),
            MAX_PAGE_SIZE,
            default=MAX_PAGE_SIZE,
        ),
    ]
    strict_values: Annotated[bool, _flag("Refuse values that can't be parsed, instead of keeping their text.")]
    allow_uncertified: Annotated[bool, _flag("Write the result even where it could not be certified; still exit 4.")]
    no_final_check: Annotated[bool, _flag("Skip the last request, which compares the total.")]
    fresh: Annotated[bool, _flag("Drop unfinished work of an earlier run.")]
    overwrite: Annotated[bool, _flag("Replace a finished result, once the new one is complete.")]
    compression: Annotated[
        str,
        Option(
            f"Compression of the Parquet files: {', '.join(COMPRESSIONS)}.",
            readers.one_of(*COMPRESSIONS),
            "snappy",
            default="zstd",
        ),
    ]


class OutputOptions(TypedDict, total=False):
    """What the command tells while it works."""

    quiet: Annotated[bool, _flag("No progress, no summary; errors only.")]
    json: Annotated[bool, _flag("Print one JSON object on one line of stdout at the end.")]
    log_file: Annotated[str | Path, Option("Append what happens to this file, too.", readers.path, "export.log")]
    verbose: Annotated[bool, _flag("Tell every retry and repair; show tracebacks.")]


class Options(QueryOptions, ConnectionOptions, RunOptions, total=False):
    """What Python's functions take: the options of `exporter run` and the key itself."""

    api_key: Annotated[str, Option("The key, instead of the environment's.", readers.text)]


def options_of(*groups: type) -> dict[str, Option]:
    """Return the options of some groups, by name, in the order of their declaration."""
    return {
        name: next(one for one in get_args(hint) if isinstance(one, Option))
        for group in groups
        for name, hint in get_type_hints(group, include_extras=True).items()
    }
