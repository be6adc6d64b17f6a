"""Settings, validated and frozen, and the one declaration of the options that they are made from.

The groups of options (`QueryOptions`, `ConnectionOptions`, `RunOptions`, `ClusterOptions`, `OutputOptions`) feed the
command line, the environment, TOML files and Python's keyword arguments; `sources` takes each option from the first of
these that names it. A default is declared with its option and nowhere else. No module below checks an option again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypedDict, get_args, get_type_hints

from exporter.config import parsers
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
"""Default start of the range: before the vendor's first order."""
KEY_VARIABLE = "DUOPLUS_API_KEY"
COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "none")


@cache
def _defaults() -> dict[str, Any]:
    """Return the parsed default of every option of an export, by name."""
    return {
        name: None if option.default is None else option.parse(option.default)
        for name, option in options_of(Options).items()
    }


def _default_of(option: str) -> Any:
    """Return the field of a setting whose default is declared with an option."""
    return field(default_factory=lambda: _defaults()[option])


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one export works with. Times are Unix seconds, both ends inclusive; durations are in seconds."""

    base_url: str = field(default_factory=lambda: SITES[_defaults()["site"]])
    api_key: Secret
    start: int
    end: int | None
    """None: the moment of the first start."""
    start_asked: str
    end_asked: str | None
    """The range as the user wrote it, with its offset: an unfinished export is resumed only for the same."""
    settle: int = _default_of("settle")
    """Seconds before the server's present at which a range ends at the latest."""
    filters: Filters = field(default_factory=Filters)
    language: str = _default_of("lang")
    timezone: str = _default_of("timezone")
    rate: float = _default_of("rate")
    """Requests a second."""
    concurrency: int | None = _default_of("concurrency")
    """Requests in flight at most; None: the number that raises the throughput, found out while running."""
    timeout: float = _default_of("timeout")
    max_attempts: int = _default_of("max_attempts")
    patience: float = _default_of("patience")
    windows: int | None = _default_of("windows")
    segment_pages: int = _default_of("segment_pages")
    page_size: int = _default_of("page_size")
    strict_values: bool = _default_of("strict_values")
    allow_uncertified: bool = _default_of("allow_uncertified")
    final_check: bool = field(default_factory=lambda: not _defaults()["no_final_check"])
    fresh: bool = _default_of("fresh")
    overwrite: bool = _default_of("overwrite")
    compression: str = _default_of("compression")


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its help, its parser, an example, and what holds where it is not given."""

    help: str
    parse: parsers.Parser
    example: Any = None
    default: Any = field(default=None, kw_only=True)
    unset: str | None = field(default=None, kw_only=True)
    """What holds without a default, in words."""
    many: bool = field(default=False, kw_only=True)
    """It may be given several times."""

    @property
    def described(self) -> str:
        """Its help, with what holds where it is not given."""
        holds = self.unset or (None if self.default is None or self.default is False else str(self.default))
        return f"{self.help} [default: {holds}]" if holds else self.help

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that a shell completes; empty where any value may be right."""
        return self.parse.choices if isinstance(self.parse, parsers.OneOf | parsers.Codes) else ()


def _flag(help_text: str) -> Option:
    return Option(help_text, parsers.flag, default=False)


Time = dt.date | dt.datetime | str
Codes = str | int | Sequence[str | int]
"""Codes or labels: one, a list, or several in one text, separated by commas."""


class QueryOptions(TypedDict, total=False):
    """Which orders."""

    start: Annotated[
        Time,
        Option(
            "First moment of the range: an ISO date, or date and time, with or without offset.",
            parsers.moment,
            "2024-01-31",
            default=EARLIEST,
        ),
    ]
    end: Annotated[
        Time,
        Option(
            "Last moment of the range, inclusive; a date means its last second. No later than --settle allows.",
            parsers.moment,
            "2024-12-31T18:00:00+08:00",
            unset="the moment of the first start, less --settle",
        ),
    ]
    settle: Annotated[
        int,
        Option(
            "Seconds before the server's present at which the range ends at the latest: replicas of a server may lag.",
            parsers.whole(0, 86_400),
            300,
            default=300,
        ),
    ]
    status: Annotated[
        Codes,
        Option(
            "Only orders of this status: label or code, repeatable or separated by commas.",
            parsers.Codes(STATUS_LABELS),
            "paid,finished",
            unset="all",
            many=True,
        ),
    ]
    type: Annotated[
        Codes,
        Option(
            "Only orders of this type: label or code, repeatable or separated by commas.",
            parsers.Codes(TYPE_LABELS, TYPE_SYNONYMS),
            "renewal,refund",
            unset="all",
            many=True,
        ),
    ]
    product_type: Annotated[
        Codes,
        Option(
            "Only orders of this product: label or code, repeatable or separated by commas. Records don't show it.",
            parsers.Codes(PRODUCT_LABELS),
            "cloud-phone",
            unset="all",
            many=True,
        ),
    ]
    image_id: Annotated[
        str | Sequence[str],
        Option(
            "Only orders of this cloud phone's image: repeatable or separated by commas. Records don't show it.",
            parsers.texts,
            "aBc1D",
            unset="all",
            many=True,
        ),
    ]
    order_id: Annotated[str, Option("Only the order of this number.", parsers.text, "202401010001", unset="all")]
    lang: Annotated[
        str,
        Option(
            f"Language that the API answers in: {', '.join(LANGUAGES)}.",
            parsers.OneOf(*LANGUAGES),
            "zh",
            default="en",
        ),
    ]
    timezone: Annotated[
        str,
        Option(
            "Time zone of the result, and of times given without an offset: an IANA name.",
            parsers.zone,
            "Europe/Berlin",
            default="Asia/Shanghai",
        ),
    ]


class ConnectionOptions(TypedDict, total=False):
    """How to reach the API."""

    site: Annotated[
        str,
        Option(
            f"Site of the vendor: {' or '.join(SITES)}.", parsers.OneOf(*SITES), "mainland", default="international"
        ),
    ]
    base_url: Annotated[
        str,
        Option(
            "Address of the API, instead of a site.",
            parsers.base_url,
            "https://openapi.duoplus.net",
            unset="the site's",
        ),
    ]
    api_key_file: Annotated[
        str | Path, Option("File that holds the key.", parsers.path, "~/.duoplus-key", unset=f"${KEY_VARIABLE}")
    ]
    rate: Annotated[float, Option("Requests a second that the API allows.", parsers.number(), 1, default=1)]
    concurrency: Annotated[
        int,
        Option("Requests in flight at most, 1 to 256.", parsers.whole(1, 256), 8, unset="automatic"),
    ]
    timeout: Annotated[float, Option("Seconds to wait for one response.", parsers.number(), 60, default=60)]
    max_attempts: Annotated[int, Option("Attempts at one request, 1 to 100.", parsers.whole(1, 100), 8, default=8)]
    patience: Annotated[
        float,
        Option("Seconds to keep trying while every request fails.", parsers.number(zero=True), 900, default=900),
    ]


class RunOptions(TypedDict, total=False):
    """How the export runs."""

    windows: Annotated[
        int,
        Option(
            "Windows of the range exported in parallel, 1 to 256.",
            parsers.whole(1, 256),
            4,
            unset="automatic",
        ),
    ]
    segment_pages: Annotated[
        int,
        Option(
            "Pages of one segment, certified together, 1 to 100; 1 asks page by page.",
            parsers.whole(1, 100),
            20,
            default=20,
        ),
    ]
    page_size: Annotated[
        int,
        Option(
            f"Orders a page, 1 to {MAX_PAGE_SIZE}.",
            parsers.whole(1, MAX_PAGE_SIZE),
            MAX_PAGE_SIZE,
            default=MAX_PAGE_SIZE,
        ),
    ]
    strict_values: Annotated[bool, _flag("Refuse values that can't be parsed, instead of keeping their text.")]
    allow_uncertified: Annotated[bool, _flag("Write the result even where it could not be certified; still exit 4.")]
    no_final_check: Annotated[bool, _flag("Skip the last requests, which compare the total.")]
    fresh: Annotated[bool, _flag("Discard the unfinished work of an earlier run.")]
    overwrite: Annotated[bool, _flag("Replace a finished result, once the new one is complete.")]
    compression: Annotated[
        str,
        Option(
            f"Compression of the Parquet files: {', '.join(COMPRESSIONS)}.",
            parsers.OneOf(*COMPRESSIONS),
            "snappy",
            default="zstd",
        ),
    ]


class ClusterOptions(TypedDict, total=False):
    """Where the exports of several teams run."""

    workers: Annotated[
        int,
        Option(
            "Worker processes on this machine that share the teams; more than one needs the extra dask.",
            parsers.whole(1, 1024),
            4,
            default=1,
        ),
    ]
    scheduler: Annotated[
        str,
        Option(
            "Address of a running Dask cluster whose workers share the teams, and OUT's storage; needs the extra dask.",
            parsers.text,
            "tcp://10.0.0.5:8786",
            unset="none",
        ),
    ]


class OutputOptions(TypedDict, total=False):
    """What the command reports."""

    quiet: Annotated[bool, _flag("No progress, no warnings, no summary: errors only.")]
    json: Annotated[bool, _flag("Print one JSON object on one line of stdout at the end.")]
    log_file: Annotated[
        str | Path,
        Option("Append the command, every event and every failure to this file.", parsers.path, "export.log"),
    ]
    verbose: Annotated[bool, _flag("Report every retry, refusal and segment; show tracebacks.")]


class Options(QueryOptions, ConnectionOptions, RunOptions, total=False):
    """What Python's functions take: the options of `exporter run` and the key itself."""

    api_key: Annotated[str, Option("The key, instead of the environment's.", parsers.text)]


@cache
def options_of(*groups: type) -> Mapping[str, Option]:
    """Return the options of some groups by name, in the order of their declaration."""
    return MappingProxyType(
        {
            name: next(one for one in get_args(hint) if isinstance(one, Option))
            for group in groups
            for name, hint in get_type_hints(group, include_extras=True).items()
        }
    )
