"""Make the typed columns of many pages at once, in Arrow, off the interpreter's lock.

A row whose texts all have the usual formats (`fast_parse`) is made by Arrow's kernels: texts that its columns don't
give back become members of `_extra` there, too. Any other row is made alone by `record_codec`, which gives the same row
for every record: the kernels are faster, they give no other meaning.

Of joined pages no Python value is handed to Arrow, not even a constant (`arrays`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import reduce
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.arrays import EMPTY, NULL, empty, integers, split, strings, whole
from exporter.columns.fast_parse import parse_money_column, parse_usual, vocabulary
from exporter.columns.gather import SCHEMA, Cells, Joined
from exporter.columns.record_codec import REST, TEXT_FIELDS, row_of
from exporter.columns.table import SECOND, schema, seconds, with_times_as
from exporter.columns.text_formats import LABELS, parse_time
from exporter.vendor.orders import SEPARATOR


def typed(pages: Sequence[Cells], *, timezone: str, language: str) -> pa.Table:
    """Return the rows of pages in the order given, in one chunk; raise CertificateError if a record has no time."""
    target = schema(timezone=timezone, language=language)
    filled = [page for page in pages if len(page)]
    if not filled:
        return empty(target)
    cells = _cells(filled)
    money = parse_money_column(whole(cells["total"]))
    priced = cells.append_column("priced", money["parsed"])
    parsed = parse_usual(priced, time=target.field("created_at").type, language=language)
    if parsed is None:
        return _one_by_one(cells, target, language)
    rows, usual = _rows(parsed, money, target, language), whole(parsed["parsed"])
    if usual.true_count == len(usual):
        return rows
    others = pc.invert(usual)
    order = pc.sort_indices(pa.chunked_array([pc.indices_nonzero(usual), pc.indices_nonzero(others)]))
    odd_rows = _one_by_one(cells.filter(others), target, language)
    return pa.concat_tables([rows.filter(usual), odd_rows]).take(order).combine_chunks()


def seconds_of(cells: Cells, *, timezone: str, language: str) -> pa.Int64Array:
    """Return the Unix second of each order of a page; raise CertificateError if a record has no time."""
    if isinstance(cells, Joined):
        texts = cells.texts[_CREATED_AT].decode().split(SEPARATOR) if len(cells) else []
        times = [time for time in map(parse_time, texts) if time is not None]
        if len(times) == len(cells):
            return integers(time // SECOND for time in times)
    return seconds(typed([cells], timezone=timezone, language=language))


def _one_by_one(cells: pa.Table, target: pa.Schema, language: str) -> pa.Table:
    rows = [row_of(record, language=language) for record in cells.to_pylist()]
    return pa.Table.from_pylist(rows, schema=with_times_as(pa.int64(), target)).cast(target)


def _cells(pages: Sequence[Cells]) -> pa.Table:
    """Return the cells of pages, at least one, in one table, in one chunk."""
    tables: list[pa.Table] = []
    for kind, run in groupby(pages, key=type):
        same_kind = list(run)
        tables += [_split(same_kind)] if kind is Joined else same_kind
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()


def _split(pages: Sequence[Joined]) -> pa.Table:
    """Split the texts of all fields at once; those of fields that no column has only where there are any."""
    separator, rows = SEPARATOR.encode(), sum(map(len, pages))
    texts = split(separator.join(page.texts[at] for at in range(len(TEXT_FIELDS)) for page in pages))
    columns = {name: texts[at * rows : (at + 1) * rows] for at, name in enumerate(TEXT_FIELDS)}
    columns["expired_seconds"] = integers(array("q", b"".join(page.expired_seconds for page in pages)))
    columns[REST] = pa.nulls(rows, pa.string())
    if any(page.rest for page in pages):
        rest = split(separator.join(page.rest or separator * (len(page) - 1) for page in pages))
        columns[REST] = pc.if_else(pc.equal(rest, EMPTY), NULL, rest)
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _rows(parsed: pa.Table, money: pa.Table, target: pa.Schema, language: str) -> pa.Table:
    """Return the rows of cells that were parsed; of the others, anything."""
    columns = {name: whole(parsed[name]) for name in parsed.schema.names}
    columns |= {name: whole(money[name]) for name in ("total", "currency")}
    members = {"total": whole(money["member"])}
    for field in LABELS:
        known = vocabulary(field, language).take(columns[f"{field}_known"])
        value = whole(known["value"])
        columns[field] = pc.coalesce(value, columns[field]) if value.null_count else value
        columns[f"{field}_code"] = whole(known["code"])
        members[field] = whole(known["member"])
    others = [columns[REST], *(members[field] for field in LABELS)]
    if all(each.null_count == len(each) for each in others):
        columns["_extra"] = whole(money["alone"])
    else:
        columns["_extra"] = _extra(columns[REST], *(members[field] for field in sorted(members)))
    return pa.Table.from_arrays([columns[name] for name in target.names], schema=target)


def _extra(*members: pa.StringArray) -> pa.StringArray:
    """Return the objects that hold members, null where there are none."""
    given = [each for each in members if each.null_count < len(each)]
    joined = reduce(lambda one, other: pc.coalesce(pc.binary_join_element_wise(one, other, _COMMA), one, other), given)
    return pc.binary_join_element_wise(_BRACE, joined, _END_BRACE, EMPTY)


_CREATED_AT = TEXT_FIELDS.index("created_at")
_COMMA, _BRACE, _END_BRACE = strings([",", "{", "}"])
