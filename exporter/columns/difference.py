"""Find what differs between two tables of orders, exactly, also where orders are alike. Pure.

Rows are paired in three rounds, each over what the one before left:

1. rows that are the same but for their countdown: nearly all of them, by their columns alone;
2. rows of one identity with the same `status` and `expired_at` as the API gave them: the same orders, too;
3. rows of one identity: orders that changed.

What is left vanished or was added. Of n old and m new rows that are alike, min(n, m) are pairs, those that come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.arrays import integers, whole
from exporter.columns.table import extra_of, identity_columns, numbered, with_times_as

STATE_FIELDS = ("status", "expired_at")
"""The fields whose change makes an order a changed one."""

_COMPARED = (
    "order_id", "created_at", "expired_at", "total", "description", "status", "currency", "type", "product", "_extra",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What differs. `before` and `after` are the same orders, row by row, as they were and as they are."""

    same: int
    vanished: pa.Table
    before: pa.Table
    after: pa.Table
    added: pa.Table


def difference(old: pa.Table, new: pa.Table) -> Difference:
    """Compare all rows of two tables; both have the columns of a result, each in its own zone."""
    before, after = (table.select(_COMPARED).cast(_instants(table)) for table in (old, new))
    if before.equals(after):
        return Difference(same=len(old), vanished=old[:0], before=old[:0], after=new[:0], added=new[:0])
    left, right = pa.arange(0, len(old)), pa.arange(0, len(new))
    for columns_of in (_as_they_are, _identity_and_state):
        pairs = _pairs(before.take(left), after.take(right), columns_of)
        left, right = left.filter(pairs.first_left), right.filter(pairs.second_left)
    same = len(old) - len(left)
    pairs = _pairs(before.take(left), after.take(right), identity_columns)
    return Difference(
        same=same,
        vanished=old.take(left.filter(pairs.first_left)),
        before=old.take(left.take(pairs.first)),
        after=new.take(right.take(pairs.second)),
        added=new.take(right.filter(pairs.second_left)),
    )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The places of rows that are pairs, and which rows of each side are in none."""

    first: pa.Int64Array
    second: pa.Int64Array
    first_left: pa.BooleanArray
    second_left: pa.BooleanArray


def _pairs(first: pa.Table, second: pa.Table, columns_of: Callable[[pa.Table], Iterator[pa.Array]]) -> _Pairs:
    """Pair the rows of two tables that have the same values in all columns, each row at most once."""
    numbers = numbered(columns_of(pa.concat_tables([first, second]).combine_chunks()))
    one, other = (_ranked(part, len(numbers)) for part in (numbers[: len(first)], numbers[len(first) :]))
    places = pc.index_in(one, value_set=other)
    return _Pairs(
        first=pc.indices_nonzero(places.is_valid()).cast(pa.int64()),
        second=places.drop_null().cast(pa.int64()),
        first_left=places.is_null(),
        second_left=pc.invert(pc.is_in(other, value_set=one)),
    )


def _ranked(numbers: pa.Int64Array, count: int) -> pa.Int64Array:
    """Return a key for each row: its number, less than `count`, and how many rows before it have that number."""
    keys = pc.multiply(numbers, integers([count])[0])
    if pc.count_distinct(numbers).as_py() == len(numbers):
        return keys
    order = pc.array_sort_indices(numbers)  # stable
    ordered, places = numbers.take(order), pa.arange(0, len(numbers))
    begins = pa.concat_arrays([_TRUE, pc.not_equal(ordered[1:], ordered[:-1])])
    ranks = pc.subtract(places, pc.fill_null_forward(pc.if_else(begins, places, _NOWHERE)))
    return pc.add(keys, ranks.take(pc.array_sort_indices(order)))


def _as_they_are(table: pa.Table) -> Iterator[pa.Array]:
    return (whole(table[name]) for name in _COMPARED)


def _identity_and_state(table: pa.Table) -> Iterator[pa.Array]:
    yield from identity_columns(table)
    for name in STATE_FIELDS:
        yield whole(table[name])
    yield extra_of(whole(table["_extra"]), STATE_FIELDS)


def _instants(table: pa.Table) -> pa.Schema:
    schema = table.select(_COMPARED).schema
    return with_times_as(pa.int64(), schema).remove_metadata()


_TRUE = integers([1]).cast(pa.bool_())
_NOWHERE = pa.nulls(1, pa.int64())[0]
