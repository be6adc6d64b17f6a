"""Arrange figures as tables of bounded size. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.delivery.report.figures import OTHER, Sums, most_first, total


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of a result a page shows."""

    periods: int
    currencies: int
    labels: int
    statuses: int
    certificates: int
    parts: int
    pictures: bool


FULL = Limits(periods=240, currencies=6, labels=30, statuses=12, certificates=300, parts=400, pictures=True)
SHORT = Limits(periods=24, currencies=3, labels=10, statuses=8, certificates=20, parts=12, pictures=False)
LEAST = Limits(periods=6, currencies=1, labels=3, statuses=7, certificates=4, parts=3, pictures=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """A table of sums: `cells` has a row for each of `rows`, None where there are no orders."""

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Sums | None]]
    row_totals: Sequence[Sums]
    column_totals: Sequence[Sums]
    left_out: int
    """Labels of rows that are in no row of their own but in `others`."""


def periods_of(months: Sequence[int], limit: int) -> tuple[str, int, range]:
    """Return what a period is called, its months, and the first months of all periods, without a gap.

    Periods are months where at most `limit` of them cover all, else years, else as many years as it takes.
    """
    if not months:
        return "Month", 1, range(0)
    first, last = min(months), max(months)
    if last - first < limit:
        return "Month", 1, range(first, last + 1)
    years = 1
    while (last // (12 * years)) - (first // (12 * years)) >= limit:
        years *= 10 if years > 1 else 5
    length = 12 * years
    return "Year" if years == 1 else f"{years} years from", length, range(first // length * length, last + 1, length)


def period_name(month: int, length: int) -> str:
    """Return the name of a period by its first month."""
    return f"{month // 12:04}-{month % 12 + 1:02}" if length == 1 else f"{month // 12:04}"


def matrix(
    sums: Mapping[Any, Sums],
    *,
    row_of: Callable[[Any], str],
    column_of: Callable[[Any], str],
    rows: int,
    columns: int,
) -> Matrix:
    """Arrange sums as a table of at most `rows` + 1 rows and `columns` columns; the labels of most orders come first.

    Rows beyond the limit are added up as one, and so are columns.
    """
    by_row, by_column = most_first(total(sums, row_of)), most_first(total(sums, column_of))
    kept_rows, kept_columns = _kept(by_row, rows), _kept(by_column, columns)
    cells = total(sums, lambda key: (_among(row_of(key), kept_rows), _among(column_of(key), kept_columns)))
    row_totals = total(by_row, lambda name: _among(name, kept_rows))
    column_totals = total(by_column, lambda name: _among(name, kept_columns))
    row_names = [*kept_rows, *([OTHER] if OTHER in row_totals else [])]
    column_names = [*kept_columns, *([OTHER] if OTHER in column_totals else [])]
    return Matrix(
        rows=row_names,
        columns=column_names,
        cells=[[cells.get((row, column)) for column in column_names] for row in row_names],
        row_totals=[row_totals[row] for row in row_names],
        column_totals=[column_totals[column] for column in column_names],
        left_out=max(0, len(by_row) - len(kept_rows)),
    )


def _kept(sums: Mapping[str, Sums], limit: int) -> list[str]:
    names = [name for name in sums if name != OTHER]
    return names if len(names) <= limit + 1 and OTHER not in sums else names[:limit]


def _among(name: str, kept: Sequence[str]) -> str:
    return name if name in kept else OTHER
