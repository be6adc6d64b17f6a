"""Make the typed columns of many pages at once, in Arrow, off the interpreter's lock.

A row whose texts are all spelled as an API may well do is made by Arrow's kernels: texts that its columns don't give
back become members of `_extra` there, too. Any other row goes through `rows` by itself, which gives the same row for
all records: the kernels are the faster way, not another meaning.

On the way of joined pages no Python value is handed to Arrow, not even a constant (`literals`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import reduce
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.arrays import EMPTY, NULL, integers, split, strings, whole
from exporter.columns.fast_parse import read_money, read_spelled, vocabulary
from exporter.columns.gather import SCHEMA, Cells, Joined
from exporter.columns.record_codec import REST, TEXT_FIELDS, row_of
from exporter.columns.table import schema, with_times_as
from exporter.columns.text_formats import LABELS
from exporter.vendor.orders import SEPARATOR


def typed(pages: Sequence[Cells], *, timezone: str, language: str) -> pa.Table:
    """Return the rows of pages in the order given, in one chunk; raise CertificateError if a record has no time."""
    target = schema(timezone=timezone, language=language)
    came = _came([page for page in pages if len(page)])
    if not len(came):
        return target.empty_table()
    money = read_money(whole(came["total"]))
    priced = came.append_column("priced", money["read"])
    spelled = read_spelled(priced, time=target.field("created_at").type, language=language)
    if spelled is None:
        return _one_by_one(came, target, language)
    rows, read = _rows(spelled, money, target, language), whole(spelled["read"])
    if read.true_count == len(read):
        return rows
    others = pc.invert(read)
    order = pc.sort_indices(pa.chunked_array([pc.indices_nonzero(read), pc.indices_nonzero(others)]))
    odd_rows = _one_by_one(came.filter(others), target, language)
    return pa.concat_tables([rows.filter(read), odd_rows]).take(order).combine_chunks()


def _one_by_one(came: pa.Table, target: pa.Schema, language: str) -> pa.Table:
    rows = [row_of(cells, language=language) for cells in came.to_pylist()]
    return pa.Table.from_pylist(rows, schema=with_times_as(pa.int64(), target)).cast(target)


def _came(pages: Sequence[Cells]) -> pa.Table:
    """Return the cells of pages in one table, in one chunk."""
    tables: list[pa.Table] = []
    for kind, run in groupby(pages, key=type):
        alike = list(run)
        tables += [_parted(alike)] if kind is Joined else alike
    return tables[0] if len(tables) == 1 else pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()


def _parted(pages: Sequence[Joined]) -> pa.Table:
    """Part the texts of all fields at once; what fields no column has are parted only where there are any."""
    separator, rows = SEPARATOR.encode(), sum(map(len, pages))
    texts = split(separator.join(page.texts[at] for at in range(len(TEXT_FIELDS)) for page in pages))
    columns = {name: texts[at * rows : (at + 1) * rows] for at, name in enumerate(TEXT_FIELDS)}
    columns["expired_seconds"] = integers(array("q", b"".join(page.expired_seconds for page in pages)))
    columns[REST] = pa.nulls(rows, pa.string())
    if any(page.rest for page in pages):
        rest = split(separator.join(page.rest or separator * (len(page) - 1) for page in pages))
        columns[REST] = pc.if_else(pc.equal(rest, EMPTY), NULL, rest)
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _rows(spelled: pa.Table, money: pa.Table, target: pa.Schema, language: str) -> pa.Table:
    """Return the rows of cells whose columns were read."""
    columns = {name: whole(spelled[name]) for name in spelled.schema.names}
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


_COMMA, _BRACE, _END_BRACE = strings([",", "{", "}"])
