"""Make the typed columns of many pages at once, in Arrow, off the interpreter's lock.

A row whose texts are all plain is made by Arrow's kernels. Any other goes one by one through `rows`, which gives the
same row for a plain record: the kernels are the faster way, not another meaning.

No Python value is handed to Arrow on the plain way: its conversion of any would import pandas wherever that is
installed (0.2 s, 40 MB). Constants are arrays made of bytes, and scalars are taken out of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.cells import SEPARATOR, TEXT_FIELDS, Cells
from exporter.columns.rows import row_of
from exporter.columns.table import schema, with_times_as
from exporter.columns.values import EARLIEST, LABELS, MAX_WHOLE_DIGITS, SIGNS, codes
from exporter.orders import FIELDS, Record, plain_language


def typed(pages: Sequence[Cells], *, timezone: str, language: str) -> pa.Table:
    """Return the rows of pages in the order given; raise CertificateError for a record that has no time."""
    pages = [page for page in pages if len(page)]
    target = schema(timezone=timezone, language=language)
    if not pages:
        return target.empty_table()
    texts = {
        name: _split(SEPARATOR.encode().join(page.texts[at] for page in pages)) for at, name in enumerate(TEXT_FIELDS)
    }
    seconds = array("q", b"".join(page.expired_seconds for page in pages))
    came = pa.table(texts | {"expired_seconds": _integers(seconds)}).select(FIELDS)
    rows, plain = _plain_rows(came, target, language)
    if pc.all(plain).as_py():
        return rows
    places = pc.indices_nonzero(pc.invert(plain))
    irregular = _irregular(pages)
    records = zip(places.to_pylist(), came.take(places).to_pylist(), strict=True)
    odd = [row_of(irregular.get(place, record), language=language) for place, record in records]
    odd_rows = pa.Table.from_pylist(odd, schema=with_times_as(pa.int64(), target)).cast(target)
    order = pc.sort_indices(pa.chunked_array([pc.indices_nonzero(plain), places]))
    return pa.concat_tables([rows.filter(plain), odd_rows]).take(order).combine_chunks()


def _irregular(pages: Sequence[Cells]) -> dict[int, Record]:
    """Return the records that were kept as they came, by their place among all rows."""
    starts = accumulate(map(len, pages[:-1]), initial=0)
    return {
        start + at: record for start, page in zip(starts, pages, strict=True) for at, record in page.irregular.items()
    }


def _plain_rows(came: pa.Table, target: pa.Schema, language: str) -> tuple[pa.Table, pa.BooleanArray]:
    """Return the rows of texts, and which of them have plain texts only; the other rows hold anything."""
    columns = {name: came[name].chunk(0) for name in FIELDS} | {"_extra": pa.nulls(len(came), pa.string())}
    time = target.field("created_at").type
    given = pc.binary_length(columns["expired_at"]).cast(pa.bool_())
    expired_at, plain = _times(pc.if_else(given, columns["expired_at"], _NULL_TEXT), time)
    columns["expired_at"], plain_expired_at = expired_at, pc.or_(plain, pc.invert(given))
    columns["created_at"], plain_created_at = _times(columns["created_at"], time)
    columns["total"], columns["currency"], plain_total = _money(columns["total"])
    plain = pc.and_(plain_total, pc.and_(plain_created_at, plain_expired_at))
    for field in LABELS:
        columns[field], columns[f"{field}_code"], plain_label = _labels(columns[field], _vocabulary(field, language))
        plain = pc.and_(plain, plain_label)
    return pa.Table.from_arrays([columns[name] for name in target.names], schema=target), plain


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


def _money(texts: pa.StringArray) -> tuple[pa.Decimal128Array, pa.StringArray, pa.BooleanArray]:
    """Read amounts and currencies, and tell which are spelled like `-$1234.50`."""
    plain = pc.match_substring_regex(texts, _PLAIN_MONEY)
    texts = pc.if_else(plain, texts, _NULL_TEXT)
    amounts = pc.utf8_ltrim(texts, "-" + "".join(SIGNS)).cast(pa.decimal128(18, 4))
    amounts = pc.if_else(pc.starts_with(texts, "-"), pc.negate(amounts), amounts)
    signs = pc.index_in(pc.ascii_trim(texts, "-.0123456789"), value_set=_SIGNS)
    return amounts, _CURRENCIES.take(signs), plain


@dataclass(frozen=True, kw_only=True, slots=True)
class _Vocabulary:
    """What the known labels stand for, side by side: the column's value and code, and whether the label is plain."""

    texts: pa.StringArray
    values: pa.StringArray
    codes: pa.Int8Array
    plain: pa.BooleanArray


@cache
def _vocabulary(field: str, language: str) -> _Vocabulary:
    known: Mapping[str, int] = codes(field, language)
    plain = LABELS[field][plain_language(language)]
    return _Vocabulary(
        texts=_texts(known),
        values=_texts(LABELS[field]["en"][code] for code in known.values()),
        codes=_integers(array("q", known.values())).cast(pa.int8()),
        plain=_integers(array("q", (plain[code] == label for label, code in known.items()))).cast(pa.bool_()),
    )


def _labels(texts: pa.StringArray, known: _Vocabulary) -> tuple[pa.StringArray, pa.Int8Array, pa.BooleanArray]:
    """Read labels, and tell which are plain: those of the export's language, and any that no table knows."""
    index = pc.index_in(texts, value_set=known.texts)
    values = known.values.take(index)
    if index.null_count:
        values = pc.coalesce(values, texts)
    return values, known.codes.take(index), pc.coalesce(known.plain.take(index), _TRUE)


def _split(joined: bytes) -> pa.StringArray:
    ends = pa.py_buffer(array("i", [0, len(joined)]))
    whole = pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(joined)])
    return pc.split_pattern(whole, SEPARATOR).flatten()


def _texts(values: Iterable[str]) -> pa.StringArray:
    return _split(SEPARATOR.join(values).encode())


def _integers(values: array[int]) -> pa.Int64Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


_SIGN = f"[{''.join(SIGNS)}]"
_PLAIN_MONEY = (  # no column knows a negative zero: `-$0.00` is not what it gives back
    rf"^(?:-?{_SIGN}(?:[1-9][0-9]{{0,{MAX_WHOLE_DIGITS - 1}}}\.[0-9]{{2}}|0\.(?:[1-9][0-9]|0[1-9]))|{_SIGN}0\.00)$"
)
_SIGNS, _CURRENCIES = _texts(SIGNS), _texts(SIGNS.values())
_FALSE, _TRUE = _integers(array("q", [0, 1])).cast(pa.bool_())
_NULL_TEXT = pa.nulls(1, pa.string())[0]
_TIME_LENGTH = _integers(array("q", [len("2026-02-12T11:34:55+08:00")]))[0]
_EARLIEST = _integers(array("q", [EARLIEST]))[0]
