"""Pages: responses whose records have become columns, and what is seen of them at a glance. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns
from exporter.certify.spans import Span
from exporter.errors import CertificateError
from exporter.vendor.orders import PageRequest, PageResponse, second_of

LEEWAY = 1
"""Seconds by which a record may be shown outside the range that was asked: times are rounded somewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """The seconds of a response's first and last record, and how many of its records come before the last second."""

    first: int | None = None
    last: int | None = None
    before_last: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A response whose records have become columns."""

    request: PageRequest
    cells: columns.Cells
    rows: int
    total: int | None
    number: int
    received: float
    times: Times

    @property
    def first(self) -> int | None:
        """The second of its first record."""
        return self.times.first

    @property
    def last(self) -> int | None:
        """The second of its last record."""
        return self.times.last

    @property
    def before_last(self) -> int:
        """How many of its records come before those of its last second."""
        return self.times.before_last

    @property
    def ending(self) -> columns.Cells:
        """The records of its last second: the boundary records of what starts there."""
        return columns.last_of(self.cells, self.rows - self.before_last)


def times_of(response: PageResponse) -> Times:
    """Return a response's times; raise CertificateError where an order has none, or one that was not asked for."""
    records = response.records
    if not records:
        return Times()
    before = len(records)
    try:
        first, last = second_of(records[0]), second_of(records[-1])
        while before and second_of(records[before - 1]) == last:
            before -= 1
    except ValueError as error:
        raise CertificateError(
            f"an order without a time came with {response.request}: {error}",
            hint="without its time neither order nor completeness can be known; ask the vendor about this record",
        ) from None
    _check_bounds(response.request, min(first, last), max(first, last))
    return Times(first=first, last=last, before_last=before)


def page_of(response: PageResponse, times: Times, total: int | None) -> Page:
    """Turn a response into a page; `total` is its total where totals can be used."""
    return Page(
        request=response.request,
        cells=columns.gather(response.records),
        rows=len(response.records),
        total=total,
        number=response.number,
        received=response.received,
        times=times,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """How cells become a table: the result's time zone and language."""

    timezone: str
    language: str

    def table(self, pages: Sequence[columns.Cells]) -> pa.Table:
        """Return the rows of all pages, in the order given."""
        return columns.typed(pages, timezone=self.timezone, language=self.language)

    def seconds(self, page: Page) -> pa.Int64Array:
        """Return the second of each record of a page."""
        return columns.seconds_of(page.cells, timezone=self.timezone, language=self.language)


def at_second(table: pa.Table, second: int) -> pa.Table:
    """Return the rows of one second."""
    return columns.within(table, second, second + 1)


def absent(expected: pa.Table, found: pa.Table) -> int:
    """Return how many rows of `expected` have no partner of the same identity in `found`."""
    return absent_of_any([expected], found)


def absent_of_any(expected: Sequence[pa.Table], found: pa.Table) -> int:
    """Return how many rows that any of the tables expects have no partner of the same identity in `found`.

    Each table is what one response showed: an order that two of them show is one order.
    """
    if all(table.equals(found) for table in expected):
        return 0
    most = Counter[tuple[Any, ...]]()
    for table in expected:
        most |= Counter(columns.identity_keys(table))
    return (most - Counter(columns.identity_keys(found))).total()


def is_ascending(seconds: pa.Array) -> bool:
    """Return whether seconds never go back."""
    ups = pc.less_equal(seconds.slice(0, max(len(seconds) - 1, 0)), seconds.slice(1))
    return bool(pc.all(ups, min_count=0).as_py())


def check_range(page: Page, seconds: pa.Array) -> None:
    """Raise CertificateError if a response shows records of another range than was asked for."""
    if len(seconds):
        bounds = pc.min_max(seconds).as_py()
        _check_bounds(page.request, bounds["min"], bounds["max"])


def _check_bounds(asked: PageRequest, first: int, last: int) -> None:
    if first < asked.first - LEEWAY or last > asked.last + LEEWAY:
        raise CertificateError(
            f"asked for {asked}, got orders of {Span(first, last + 1)}",
            hint="the server does not keep to the range it is asked for, so nothing it says can be certified",
        )
