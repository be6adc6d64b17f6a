"""Work with tables of orders: their schema, their records, their order, their identities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.literals import integers, strings
from exporter.columns.rows import canonical, pack, record_of, unpack
from exporter.errors import ConfigError
from exporter.orders import FIELDS, IDENTITY_FIELDS, Record

FORMAT = "1"
"""The version of the columns' meaning."""

_BATCH_ROWS = 10_000  # rows that `records` holds as Python objects


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
    """Give back each row's record as the API gave it; raise ConfigError if the table doesn't say its language."""
    language = (table.schema.metadata or {}).get(b"exporter.language", b"").decode()
    if not language:
        raise ConfigError("the table's metadata don't name the language of its labels", hint=_NO_LANGUAGE)
    columns = table.select(schema(timezone="UTC", language=language).names)
    for batch in columns.cast(with_times_as(pa.int64(), columns.schema)).to_batches(max_chunksize=_BATCH_ROWS):
        for row in batch.to_pylist():
            yield record_of(row, language=language)


def ordered(table: pa.Table) -> pa.Table:
    """Return the rows in order of (created_at, order_id, the record's canonical JSON), in one chunk."""
    table = table.combine_chunks()
    if not _ascending(table):
        table = table.take(pc.sort_indices(table, [(name, "ascending") for name in _ORDER])).combine_chunks()
    ties = set(pc.indices_nonzero(_tied(table)).to_pylist())  # rows that the columns don't tell from the next
    if not ties:
        return table
    places = sorted(ties | {place + 1 for place in ties})
    keys, run = [], 0
    for place, record in zip(places, records(table.take(integers(places))), strict=True):
        run += place - 1 not in ties
        keys.append((run, canonical(record), place))
    order = list(range(len(table)))
    for place, (_, _, origin) in zip(places, sorted(keys), strict=True):
        order[place] = origin
    return table.take(integers(order)).combine_chunks()


def identities(table: pa.Table) -> pa.Int64Array:
    """Return a number for each row: the same exactly where what never changes of an order came the same."""
    encoded = table["order_id"].combine_chunks().dictionary_encode()
    numbers = encoded.indices.cast(pa.int64())
    if len(encoded.dictionary) == len(table):
        return numbers
    counts = pc.value_counts(numbers).field("counts")  # in order of first appearance, as the numbers are
    shared = pc.greater(counts, _ONE).take(numbers)
    return pc.replace_with_mask(numbers, shared, pc.bit_wise_not(_closer_identities(table.filter(shared))))


def seconds(table: pa.Table) -> pa.Int64Array:
    """Return the Unix second in which each order was made."""
    instants = table["created_at"].combine_chunks().cast(pa.int64()).cast(pa.timestamp("us"))
    return pc.floor_temporal(instants, unit="second").cast(pa.timestamp("s")).cast(pa.int64())


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """What stands in `_extra`: how many values, how many of them no column could hold, and one of them in words."""

    values: int
    unparsed: int
    example: str | None


def extras(table: pa.Table) -> Extras:
    """Count what stands in `_extra`; the example is one that no column could hold, if there is any."""
    kept_rows = table.filter(table["_extra"].is_valid())
    spelled = pc.and_(pc.match_substring_regex(kept_rows["_extra"], _SPELLED), kept_rows["total"].is_valid())
    alike = kept_rows.filter(spelled)
    values = pc.sum(pc.count_substring(alike["_extra"][1:], '":"'), min_count=0).as_py()
    closer = pa.concat_tables([kept_rows.filter(pc.invert(spelled)), alike[:1]])
    unparsed = 0
    examples: dict[bool, str] = {}
    for place, text in enumerate(closer["_extra"].to_pylist()):
        kept, missing = unpack(text)
        values += len(kept) + len(missing)
        lost = [
            name
            for name in kept.keys() & _PARSED
            if kept[name] is not None and closer[name][place].as_py() in (None, "")
        ]
        unparsed += len(lost)
        if bool(lost) not in examples:
            name = [*sorted(lost), *kept, *missing][0]
            order_id = closer["order_id"][place].as_py() or kept.get("order_id")
            came = repr(kept[name]) if name in kept else "missing"
            examples[bool(lost)] = f"order {order_id!r}: {name} is {came}"
    return Extras(values=values, unparsed=unparsed, example=examples.get(True, examples.get(False)))


def _tied(table: pa.Table) -> pa.BooleanArray:
    """Tell of each row but the last whether the next one has the same time and order number."""
    return pc.and_(*(pc.equal(column[:-1], column[1:]) for column in _order_columns(table)))


def _ascending(table: pa.Table) -> bool:
    times, names = _order_columns(table)
    later = pc.less(times[:-1], times[1:])
    same = pc.and_(pc.equal(times[:-1], times[1:]), pc.less_equal(names[:-1], names[1:]))
    return bool(pc.all(pc.or_(later, same)).as_py())


def _order_columns(table: pa.Table) -> list[pa.Array]:
    return [table[name].combine_chunks() for name in _ORDER]


def _closer_identities(table: pa.Table) -> pa.Int64Array:
    """Return numbers from 0 on, of rows that share their order number: field by field, until all are told apart."""
    numbers = table["order_id"].combine_chunks().dictionary_encode().indices.cast(pa.int64())
    for column in _identity_columns(table):
        encoded = column.dictionary_encode(null_encoding="encode")
        pairs = pc.add(pc.multiply(numbers, pc.count(encoded.dictionary, mode="all")), encoded.indices)
        told_apart = pairs.dictionary_encode()
        numbers = told_apart.indices.cast(pa.int64())
        if len(told_apart.dictionary) == len(table):
            break
    return numbers


def _identity_columns(table: pa.Table) -> Iterator[pa.Array]:
    """Give the columns of an identity but its number, those that tell most orders apart first."""
    for name in ("created_at", "total", "currency", "type", "product", "description"):
        yield table[name].combine_chunks()
    yield _identity_extra(table["_extra"].combine_chunks())


def _identity_extra(extra: pa.StringArray) -> pa.StringArray:
    """Return what `_extra` keeps of the fields that never change."""
    if extra.null_count == len(extra):
        return extra
    return strings("" if text is None else _identity_part(text) or "" for text in extra.to_pylist())


def _identity_part(text: str) -> str | None:
    kept, missing = unpack(text)
    return pack(
        {name: value for name, value in kept.items() if name in IDENTITY_FIELDS},
        missing=[name for name in missing if name in IDENTITY_FIELDS],
    )


_NO_LANGUAGE = (
    "read the Parquet files with pyarrow, which keeps their metadata; or set what the export was made with, such as "
    "table.replace_schema_metadata({'exporter.language': 'en'})"
)
_SPELLED = r'^\{(?:,?"(?:status|total|type)":"[^"\\]*")+\}$'
"""What `_extra` holds where texts were merely spelled otherwise, if the row has a total."""
_ONE = integers([1])[0]
_ORDER = ("created_at", "order_id")
_PARSED = frozenset(FIELDS) - {"created_at"}  # without a time there is no row
