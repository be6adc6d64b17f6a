"""Add up a result's orders and money in one pass over its parts, a row group at a time.

Sums are exact. Labels of the data are free text: of each column the first `LABELS` distinct ones have figures of their
own, later ones are added up as `OTHER`, so that memory is bounded whatever the data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exporter.delivery.report.extra_kinds import ExtraKind, ExtraKinds
from exporter.delivery.report.text import clipped

LABELS = 200
"""Distinct labels of one column that have figures of their own."""

OTHER = "(others)"
"""What labels beyond `LABELS` are added up as."""

NONE = "(none)"
"""What is shown for null."""

_ROWS = 131_072
_TEXTS = ("type", "status", "currency", "product")
_READ = [*_TEXTS, "created_at", "total", "expired_at", "_extra"]
_EXACT = Context(prec=60)
_ZERO = Decimal(0)

Key = TypeVar("Key")


@dataclass(slots=True)
class Sums:
    """What some orders come to; the money is of one currency. `unread` of them have no amount in the column."""

    orders: int = 0
    unread: int = 0
    incoming: Decimal = _ZERO
    """The sum of the amounts above zero."""
    net: Decimal = _ZERO
    """The sum of all amounts."""

    @property
    def outgoing(self) -> Decimal:
        """The sum of the amounts below zero."""
        return _EXACT.subtract(self.net, self.incoming)

    def add(self, other: Sums) -> None:
        """Add the sums of other orders."""
        self.orders += other.orders
        self.unread += other.unread
        self.incoming = _EXACT.add(self.incoming, other.incoming)
        self.net = _EXACT.add(self.net, other.net)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """A result's orders and money.

    A month is the number of months since year 0 in the result's time zone: `year * 12 + month - 1`.
    """

    by_month: Mapping[tuple[int, str], Sums]
    """By month and currency."""
    by_kind: Mapping[tuple[str, str, str], Sums]
    """By type, status and currency."""
    by_product: Mapping[tuple[str, str], Sums]
    """By product and currency."""
    extra: Sequence[ExtraKind]

    @property
    def by_currency(self) -> dict[str, Sums]:
        """Return the sums of each currency, the one of most orders first."""
        return most_first(total(self.by_month, lambda key: key[1]))


def total(sums: Mapping[Any, Sums], key_of: Callable[[Any], Key]) -> dict[Key, Sums]:
    """Add sums up by another key."""
    added: defaultdict[Key, Sums] = defaultdict(Sums)
    for key, each in sums.items():
        added[key_of(key)].add(each)
    return dict(added)


def most_first(sums: Mapping[Key, Sums]) -> dict[Key, Sums]:
    """Return sums in descending order of their orders; of as many, in the order of their keys."""
    return dict(sorted(sums.items(), key=lambda item: (-item[1].orders, item[0])))


def figures_of(paths: Sequence[Path]) -> Figures:
    """Read the parts of a result once and return its figures."""
    adding = _Adding()
    for path in paths:
        for batch in _batches(path):
            adding.add(batch)
    return Figures(
        by_month=dict(adding.by_month),
        by_kind=dict(adding.by_kind),
        by_product=dict(adding.by_product),
        extra=adding.extra.kinds(),
    )


def _batches(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, read_dictionary=list(_TEXTS)) as file:
        for batch in file.iter_batches(_ROWS, columns=_READ):
            yield pa.Table.from_batches([batch])


@dataclass(slots=True)
class _Adding:
    by_month: defaultdict[tuple[int, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    by_kind: defaultdict[tuple[str, str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    by_product: defaultdict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    extra: ExtraKinds = field(default_factory=ExtraKinds)
    _labels: dict[str, dict[str | None, str]] = field(default_factory=lambda: {name: {} for name in _TEXTS})

    def add(self, table: pa.Table) -> None:
        """Add one batch of rows."""
        times, amounts = table["created_at"], table["total"]
        month = pc.add(pc.multiply(pc.year(times), 12), pc.subtract(pc.month(times), 1))
        incoming = pc.max_element_wise(amounts, pa.scalar(_ZERO, amounts.type), skip_nulls=False)
        values = {name: table[name] for name in _TEXTS} | {"month": month, "net": amounts, "incoming": incoming}
        for row in _grouped(values, ["month", "type", "status", "currency"]):
            sums = _sums(row)
            kind, status, currency = (self._label(name, row[name]) for name in ("type", "status", "currency"))
            self.by_month[row["month"], currency].add(sums)
            self.by_kind[kind, status, currency].add(sums)
        for row in _grouped(values, ["product", "currency"]):
            product, currency = (self._label(name, row[name]) for name in ("product", "currency"))
            self.by_product[product, currency].add(_sums(row))
        self.extra.add(table)

    def _label(self, column: str, text: str | None) -> str:
        """Return the label that a text is added up as."""
        known = self._labels[column]
        if text is not None:
            text = clipped(text)
        if text not in known:
            if len(known) >= LABELS:
                return OTHER
            known[text] = NONE if text is None else text
        return known[text]


def _grouped(values: Mapping[str, pa.ChunkedArray], keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    columns = {name: values[name] for name in (*keys, "net", "incoming")}
    sums = [([], "count_all"), ("net", "sum"), ("incoming", "sum"), ("net", "count")]
    grouped = pa.table(columns).group_by(list(keys), use_threads=False).aggregate(sums)
    yield from grouped.to_pylist()


def _sums(row: Mapping[str, Any]) -> Sums:
    orders = row["count_all"]
    return Sums(
        orders=orders,
        unread=orders - row["net_count"],
        incoming=_ZERO if row["incoming_sum"] is None else row["incoming_sum"],
        net=_ZERO if row["net_sum"] is None else row["net_sum"],
    )
