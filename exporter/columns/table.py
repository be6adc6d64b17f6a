"""Work with tables of orders: their schema, their records, their order, their identities."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.arrays import EMPTY, integers, strings, whole
from exporter.columns.record_codec import canonical, pack, record_of, unpack
from exporter.errors import ConfigError
from exporter.vendor.orders import IDENTITY_FIELDS, Record

SECOND = 1_000_000
"""A second in the unit of times."""

FORMAT = "1"
"""The version of the columns' meaning."""

_BATCH_ROWS = 10_000  # rows that `records` holds as Python objects


@cache
def schema(*, timezone: str, language: str) -> pa.Schema:
    """Return the schema of every table and file of an export, whatever the data."""
    time = pa.timestamp("us", timezone)
    return pa.schema(
        [
            pa.field("order_id", pa.string(), nullable=False),
            pa.field("created_at", time, nullable=False),
            pa.field("type", pa.string()),
            pa.field("type_code", pa.int8()),
            pa.field("status", pa.string()),
            pa.field("status_code", pa.int8()),
            pa.field("product", pa.string()),
            pa.field("description", pa.string()),
            pa.field("total", pa.decimal128(18, 4)),
            pa.field("currency", pa.string()),
            pa.field("expired_at", time),
            pa.field("expired_seconds", pa.int64()),
            pa.field("_extra", pa.string()),
        ],
        metadata={"exporter.format": FORMAT, "exporter.language": language},
    )


def with_times_as(kind: pa.DataType, base: pa.Schema) -> pa.Schema:
    """Return a schema with another type for its times."""
    return pa.schema([field.with_type(kind) if pa.types.is_timestamp(field.type) else field for field in base])


def records(table: pa.Table) -> Iterator[Record]:
    """Yield each row's record as the API gave it; raise ConfigError if the table's metadata name no language."""
    language = (table.schema.metadata or {}).get(b"exporter.language", b"").decode()
    if not language:
        raise ConfigError("the table's metadata don't name the language of its labels", hint=_NO_LANGUAGE)
    columns = table.select(schema(timezone="UTC", language=language).names)
    for batch in columns.cast(with_times_as(pa.int64(), columns.schema)).to_batches(max_chunksize=_BATCH_ROWS):
        for row in batch.to_pylist():
            yield record_of(row, language=language)


def ordered(table: pa.Table) -> pa.Table:
    """Return the rows in order of (created_at, order_id, the record's canonical JSON), in one chunk."""
    return in_order(table)[0]


def in_order(table: pa.Table) -> tuple[pa.Table, bool]:
    """Return the rows `ordered`, and whether some share time and order number; if none do, no identity repeats."""
    table = table.combine_chunks()
    table = table.take(_order(table))
    tied = _tied(table)
    if tied is None:
        return table, False
    rows, positions = table.filter(tied), pc.indices_nonzero(tied).to_pylist()
    times, names = rows["created_at"].cast(pa.int64()).to_pylist(), rows["order_id"].to_pylist()
    keys = zip(times, names, map(canonical, records(rows)), positions, strict=True)
    order = list(range(len(table)))
    for position, (*_, origin) in zip(positions, sorted(keys), strict=True):
        order[position] = origin
    return table.take(integers(order)), True


def identities(table: pa.Table) -> pa.Int64Array:
    """Return a number for each row: the same exactly where what never changes of an order came the same."""
    numbers, order = pa.arange(0, len(table)), _order(table)
    tied = _tied(table.select(_ORDER).take(order))
    if tied is None:
        return numbers
    doubtful = pc.is_in(numbers, value_set=order.filter(tied).cast(pa.int64()))
    return pc.replace_with_mask(numbers, doubtful, pc.bit_wise_not(numbered(identity_columns(table.filter(doubtful)))))


def identity_keys(table: pa.Table) -> list[tuple[Any, ...]]:
    """Return what never changes of each order, to compare a few rows of several tables."""
    return list(zip(*(column.to_pylist() for column in identity_columns(table)), strict=True))


def repeated(table: pa.Table) -> int:
    """Return how many rows of an ordered table have the identity of an earlier row."""
    tied = _tied(table)
    if tied is None:
        return 0
    count: int = tied.true_count - pc.count_distinct(numbered(identity_columns(table.filter(tied)))).as_py()
    return count


def seconds(table: pa.Table) -> pa.Int64Array:
    """Return the Unix second in which each order was made."""
    times = instants(table).view(pa.timestamp("us"))
    return pc.divide(pc.floor_temporal(times, unit="second").view(pa.int64()), _MICROSECONDS)


def instants(table: pa.Table) -> pa.Int64Array:
    """Return when each order was made, in microseconds since 1970 UTC."""
    return whole(table["created_at"]).view(pa.int64())


def before(table: pa.Table, second: int) -> pa.BooleanArray:
    """Return which rows were made before a Unix second."""
    return pc.less(instants(table), integers([second * SECOND])[0])


def within(table: pa.Table, start: int, stop: int) -> pa.Table:
    """Return the rows made in `[start, stop)`, in Unix seconds."""
    return table.filter(pc.and_not(before(table, stop), before(table, start)))


def place_of(table: pa.Table, second: int) -> int:
    """Return the index of the first row of an ordered table that was made in a Unix second or later."""
    return bisect_left(instants(table), second * SECOND, key=pa.Int64Scalar.as_py)


def _order(table: pa.Table) -> pa.UInt64Array:
    return pc.sort_indices(table, [(name, "ascending") for name in _ORDER])


def _tied(table: pa.Table) -> pa.BooleanArray | None:
    """Return which rows of an ordered table have the time and the order number of the row before or after them.

    None if no row has.
    """
    times, numbers = (whole(table[name]) for name in _ORDER)
    same = pc.equal(numbers[1:], numbers[:-1])
    if not same.true_count:
        return None
    same = pc.and_(same, pc.equal(times[1:], times[:-1]))
    if not same.true_count:
        return None
    return pc.or_(pa.concat_arrays([_FALSE, same]), pa.concat_arrays([same, _FALSE]))


def numbered(columns: Iterable[pa.Array]) -> pa.Int64Array:
    """Return numbers from 0, the same exactly for the rows that have the same values in all columns.

    The columns that differ in most rows come best first: no more are read once all rows differ.
    """
    numbers: pa.Int64Array | None = None
    for column in columns:
        encoded = column.dictionary_encode(null_encoding="encode")
        if numbers is not None:
            values = integers([len(encoded.dictionary)])[0]
            encoded = pc.add(pc.multiply(numbers, values), encoded.indices).dictionary_encode()
        numbers = encoded.indices.cast(pa.int64())
        if len(encoded.dictionary) == len(column):
            break
    return numbers


def identity_columns(table: pa.Table) -> Iterator[pa.Array]:
    """Yield the columns of what never changes of an order, those that differ in most orders first."""
    yield whole(table["order_id"])
    yield whole(table["created_at"]).view(pa.int64())
    for name in ("total", "currency", "type", "product", "description"):
        yield whole(table[name])
    yield extra_of(whole(table["_extra"]), IDENTITY_FIELDS)


def extra_of(extra: pa.StringArray, fields: Collection[str]) -> pa.StringArray:
    """Return what each text of `_extra` keeps of some fields, `""` for nothing."""
    if extra.null_count == len(extra):
        return pc.coalesce(extra, EMPTY)
    return strings("" if text is None else _part_of(text, fields) or "" for text in extra.to_pylist())


def _part_of(text: str, fields: Collection[str]) -> str | None:
    kept, missing = unpack(text)
    return pack(
        {name: value for name, value in kept.items() if name in fields},
        missing=[name for name in missing if name in fields],
    )


_NO_LANGUAGE = (
    "read the Parquet files with pyarrow, which keeps their metadata; or set what the export was made with, such as "
    "table.replace_schema_metadata({'exporter.language': 'en'})"
)
_ORDER = ("created_at", "order_id")
_FALSE = integers([0]).cast(pa.bool_())
_MICROSECONDS = integers([SECOND])[0]
