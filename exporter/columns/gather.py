"""Join a page's records by field in the event loop, as cheaply as Python can.

A column of texts becomes one `bytes`: joining holds the interpreter for a few nanoseconds a value, making Arrow strings
of Python ones for fifty; Arrow splits them in another thread. Joining also checks the types. A page that can't be
joined becomes a table of `cells_of` each record here, at a few microseconds a record, so that no record outlives its
page.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

import pyarrow as pa

from exporter.columns.record_codec import REST, TEXT_FIELDS, cells_of, unknown
from exporter.vendor.orders import FIELDS, SEPARATOR, PlainRecords, Record

SCHEMA = pa.schema([(name, pa.string() if name in TEXT_FIELDS else pa.int64()) for name in FIELDS]).append(
    pa.field(REST, pa.string())
)
"""The cells of records (`record_codec.RecordCells`) as columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """The values of one page's well-formed records, by field: all fields are there, and of their types."""

    texts: Sequence[bytes]
    """Of each of TEXT_FIELDS: the values in UTF-8, joined by SEPARATOR."""
    expired_seconds: array[int]
    rest: bytes = b""
    """The fields that no column has: members of `_extra`, joined by SEPARATOR too; empty if no record has any."""

    def __len__(self) -> int:
        return len(self.expired_seconds)


Cells: TypeAlias = Joined | pa.Table
"""One page's values: joined where all its records are well-formed, else a table in SCHEMA."""


def gather(records: Sequence[Record]) -> Cells:
    """Return the values of one page's records; raise CertificateError if one of them is not an object."""
    try:
        return _joined(records)
    except (LookupError, TypeError, ValueError, OverflowError):
        return pa.Table.from_pylist([cells_of(record) for record in records], schema=SCHEMA)


def _joined(records: Sequence[Record]) -> Joined:
    """Join records; raise any of the errors above if one is not well-formed."""
    if not records:
        return Joined(texts=[b""] * len(TEXT_FIELDS), expired_seconds=array("q"))
    key = {name: name for name in records[0]}  # the parser shares keys between records: these are found by identity
    values = itemgetter(*(key[name] for name in (*TEXT_FIELDS, "expired_seconds")))
    *columns, seconds = zip(*map(values, records), strict=True)
    texts = [SEPARATOR.join(column) for column in columns]
    searched = [] if isinstance(records, PlainRecords) else texts
    if any(text.count(SEPARATOR) != len(records) - 1 for text in searched):
        raise ValueError("the separator is within a text")
    if set(map(type, seconds)) != {int}:  # an array takes booleans too
        raise TypeError("expired_seconds is not an integer")
    fields = sum(map(len, records))
    rest = b"" if fields == len(FIELDS) * len(records) else unknown(records)
    return Joined(texts=[text.encode() for text in texts], expired_seconds=array("q", seconds), rest=rest)


def last_of(cells: Cells, count: int) -> Cells:
    """Return the values of a page's last records, `count` of them, one at least."""
    if isinstance(cells, pa.Table):
        return cells[len(cells) - count :]
    separator = SEPARATOR.encode()

    def cut(texts: bytes) -> bytes:
        return separator.join(texts.rsplit(separator, count)[-count:])

    return Joined(
        texts=[cut(texts) for texts in cells.texts],
        expired_seconds=cells.expired_seconds[-count:],
        rest=cut(cells.rest) if cells.rest else b"",
    )


def fingerprint(cells: Cells) -> str:
    """Return what names the orders that a page shows, whatever their status: the same in every process."""
    if isinstance(cells, Joined):
        texts = dict(zip(TEXT_FIELDS, cells.texts, strict=True))
        shown = [texts["order_id"], texts["created_at"]]
    else:
        shown = ["\x1f".join(map(str, cells[name].to_pylist())).encode() for name in ("order_id", "created_at")]
    return hashlib.sha256(b"\0".join(shown)).hexdigest()
