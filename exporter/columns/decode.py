"""Make the typed columns of many pages at once, in Arrow, off the interpreter's lock.

A row whose texts are all spelled as an API may well do is made by Arrow's kernels: texts that its columns don't give
back become members of `_extra` there, too. Any other row goes through `rows` by itself, which gives the same row for
all records: the kernels are the faster way, not another meaning.

On the way of joined pages no Python value is handed to Arrow, not even a constant (`literals`).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.cells import SCHEMA, Cells, Joined
from exporter.columns.literals import SEPARATOR, integers, split, strings
from exporter.columns.rows import REST, TEXT_FIELDS, row_of
from exporter.columns.table import schema, with_times_as
from exporter.columns.values import CURRENCIES, EARLIEST, LABELS, MAX_WHOLE_DIGITS, PLAIN_SIGNS, codes
from exporter.orders import plain_language


def typed(pages: Sequence[Cells], *, timezone: str, language: str) -> pa.Table:
    """Return the rows of pages in the order given; raise CertificateError for a record that has no time."""
    target = schema(timezone=timezone, language=language)
    came = _came([page for page in pages if len(page)])
    if not len(came):
        return target.empty_table()
    rows, read = _read(came, target, language)
    if pc.all(read).as_py():
        return rows
    places = pc.indices_nonzero(pc.invert(read))
    odd = [row_of(cells, language=language) for cells in came.take(places).to_pylist()]
    odd_rows = pa.Table.from_pylist(odd, schema=with_times_as(pa.int64(), target)).cast(target)
    order = pc.sort_indices(pa.chunked_array([pc.indices_nonzero(read), places]))
    return pa.concat_tables([rows.filter(read), odd_rows]).take(order).combine_chunks()


def _came(pages: Sequence[Cells]) -> pa.Table:
    """Return the cells of pages in one table, in one chunk."""
    tables: list[pa.Table] = []
    for kind, run in groupby(pages, key=type):
        alike = list(run)
        tables += [_parted(alike)] if kind is Joined else alike
    return tables[0] if len(tables) == 1 else pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()


def _parted(pages: Sequence[Joined]) -> pa.Table:
    separator = SEPARATOR.encode()
    columns = {name: split(separator.join(page.texts[at] for page in pages)) for at, name in enumerate(TEXT_FIELDS)}
    columns["expired_seconds"] = integers(array("q", b"".join(page.expired_seconds for page in pages)))
    columns[REST] = pa.nulls(len(columns["order_id"]), pa.string())
    if any(page.rest for page in pages):
        rest = split(separator.join(page.rest or separator * (len(page) - 1) for page in pages))
        columns[REST] = _null_if_empty(rest)
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _read(came: pa.Table, target: pa.Schema, language: str) -> tuple[pa.Table, pa.BooleanArray]:
    """Return the rows of cells, and which of them could be read; the other rows hold anything."""
    columns = {name: came[name].chunk(0) for name in SCHEMA.names}
    time = target.field("created_at").type
    expired_at = _null_if_empty(columns["expired_at"])
    columns["expired_at"], plain = _times(expired_at, time)
    read_expired_at = pc.or_(plain, expired_at.is_null())
    columns["created_at"], read_created_at = _times(columns["created_at"], time)
    members = {}
    for field in LABELS:
        known = _vocabulary(field, language)
        columns[field], columns[f"{field}_code"], members[field] = _labels(columns[field], known)
    columns["total"], columns["currency"], members["total"], read_total = _money(columns["total"])
    columns["_extra"] = _extra(columns[REST], *(members[field] for field in sorted(members)))
    read = pc.and_(read_total, pc.and_(read_created_at, read_expired_at))
    return pa.Table.from_arrays([columns[name] for name in target.names], schema=target), read


def _times(texts: pa.StringArray, kind: pa.TimestampType) -> tuple[pa.TimestampArray, pa.BooleanArray]:
    """Read times, and tell which are spelled `YYYY-MM-DDTHH:MM:SS+08:00`."""
    # Of the 25 bytes that end so and that Arrow takes for a time, only the separator of date and time is left open.
    plain = pc.and_(
        pc.and_(pc.equal(pc.binary_length(texts), _TIME_LENGTH), pc.ends_with(texts, "+08:00")),
        pc.match_substring(texts, "T"),
    )
    plain = pc.coalesce(plain, _FALSE)
    try:
        times = pc.if_else(plain, texts, _NULL_TEXT).cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:  # a time such as 30 February: let Python tell which
        times = pa.nulls(len(texts), pa.timestamp("us", "UTC"))
        plain = times.is_valid()
    years = pc.greater_equal(times.cast(pa.int64()), _EARLIEST)  # Arrow knows a year 0, Python does not
    return times.cast(kind), pc.and_(plain, pc.coalesce(years, _FALSE))


def _money(texts: pa.StringArray) -> tuple[pa.Decimal128Array, pa.StringArray, pa.StringArray, pa.BooleanArray]:
    """Read amounts and currencies, and tell which are null or spelled like `-$1234.50`, `-$1,234.50` or `￥9.99`.

    What comes third are members of `_extra` where amount and currency don't give the text back.
    """
    read = pc.match_substring_regex(texts, _MONEY)
    given = pc.if_else(read, texts, _NULL_TEXT)
    ungrouped = pc.replace_substring(given, ",", "")
    amounts = pc.utf8_ltrim(ungrouped, "-" + "".join(CURRENCIES)).cast(pa.decimal128(18, 4))
    minus = pc.starts_with(given, "-")
    signs = pc.index_in(pc.ascii_trim(ungrouped, "-.0123456789"), value_set=_SIGNS)
    given_back = pc.and_(
        pc.and_(pc.equal(given, ungrouped), pc.coalesce(_SIGN_IS_PLAIN.take(signs), _TRUE)),
        pc.invert(pc.and_(minus, pc.equal(amounts, _ZERO))),  # no column knows a negative zero
    )
    members = pa.nulls(len(texts), pa.string())
    if not pc.all(given_back).as_py():
        kept = pc.if_else(given_back, _NULL_TEXT, given)
        members = pc.binary_join_element_wise(_TOTAL, kept, _QUOTE, _EMPTY)
    amounts = pc.if_else(minus, pc.negate(amounts), amounts)
    return amounts, _SIGN_CURRENCIES.take(signs), members, pc.coalesce(read, _TRUE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Vocabulary:
    """What the known labels stand for, side by side: the column's value and code, a member of `_extra` or null."""

    texts: pa.StringArray
    values: pa.StringArray
    codes: pa.Int8Array
    members: pa.StringArray


@cache
def _vocabulary(field: str, language: str) -> _Vocabulary:
    known: Mapping[str, int] = codes(field, language)
    plain = LABELS[field][plain_language(language)]
    members = strings("" if plain[code] == label else f'"{field}":"{label}"' for label, code in known.items())
    return _Vocabulary(
        texts=strings(known),
        values=strings(LABELS[field]["en"][code] for code in known.values()),
        codes=integers(known.values()).cast(pa.int8()),
        members=_null_if_empty(members),
    )


def _labels(texts: pa.StringArray, known: _Vocabulary) -> tuple[pa.StringArray, pa.Int8Array, pa.StringArray]:
    """Read labels; what comes third are members of `_extra` where value and code don't give the text back."""
    index = pc.index_in(texts, value_set=known.texts)
    values = known.values.take(index)
    if index.null_count:
        values = pc.coalesce(values, texts)
    return values, known.codes.take(index), known.members.take(index)


def _extra(*members: pa.StringArray) -> pa.StringArray:
    """Return the objects that hold members, null where there are none."""
    given = [each for each in members if each.null_count < len(each)]
    if not given:
        return members[0]
    joined = reduce(lambda one, other: pc.coalesce(pc.binary_join_element_wise(one, other, _COMMA), one, other), given)
    return pc.binary_join_element_wise(_BRACE, joined, _END_BRACE, _EMPTY)


def _null_if_empty(values: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.binary_length(values).cast(pa.bool_()), values, _NULL_TEXT)


_MONEY = (
    rf"^-?[{''.join(CURRENCIES)}]?"
    rf"(?:0|[1-9][0-9]{{0,{MAX_WHOLE_DIGITS - 1}}}|[1-9][0-9]{{0,2}}(?:,[0-9]{{3}}){{1,3}})\.[0-9]{{2}}$"
)
_SIGNS, _SIGN_CURRENCIES = strings(CURRENCIES), strings(CURRENCIES.values())
_SIGN_IS_PLAIN = pc.is_in(_SIGNS, value_set=strings(PLAIN_SIGNS.values()))
_FALSE, _TRUE = integers([0, 1]).cast(pa.bool_())
_NULL_TEXT = pa.nulls(1, pa.string())[0]
_TOTAL, _QUOTE, _COMMA, _BRACE, _END_BRACE, _EMPTY = strings(['"total":"', '"', ",", "{", "}", ""])
_ZERO = integers([0]).cast(pa.decimal128(19, 0)).cast(pa.decimal128(18, 4))[0]
_TIME_LENGTH = integers([len("2026-02-12T11:34:55+08:00")])[0]
_EARLIEST = integers([EARLIEST])[0]
