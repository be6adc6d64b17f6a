"""Take a page's records apart in the event loop, as cheaply as Python can.

A column of texts becomes one `bytes`: joining holds the interpreter for a few nanoseconds a value, making Arrow strings
of Python ones for fifty; the splitting is Arrow's, in another thread. Joining also checks the types.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from exporter.orders import FIELDS, Record

SEPARATOR = "\x1f"
"""Stands between the texts of a column; a record with a text that holds it is kept as it came."""
TEXT_FIELDS = tuple(name for name in FIELDS if name != "expired_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """One page's values by field. A record that is not well-formed stands in `irregular`, by its place on the page."""

    texts: Sequence[bytes]
    """Of each of TEXT_FIELDS: the values in UTF-8, joined by SEPARATOR."""
    expired_seconds: array[int]
    irregular: Mapping[int, Record] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.expired_seconds)


def gather(records: Sequence[Record]) -> Cells:
    """Return the values of one page's records; of the records themselves only the irregular ones are kept."""
    try:
        return _joined(records, irregular={})
    except _NOT_WELL_FORMED:
        irregular = {at: record for at, record in enumerate(records) if not _regular(record)}
        return _joined([_BLANK if at in irregular else record for at, record in enumerate(records)], irregular)


def _joined(records: Sequence[Record], irregular: Mapping[int, Record]) -> Cells:
    """Join well-formed records; raise one of _NOT_WELL_FORMED if any is not."""
    if not records:
        return Cells(texts=[b""] * len(TEXT_FIELDS), expired_seconds=array("q"))
    if sum(map(len, records)) != len(FIELDS) * len(records):
        raise ValueError("fields are missing or unknown")
    key = {name: name for name in records[0]}  # the parser shares keys between records: these are found by identity
    texts = []
    for name in TEXT_FIELDS:
        text = SEPARATOR.join(map(itemgetter(key[name]), records))
        if text.count(SEPARATOR) != len(records) - 1:
            raise ValueError("the separator is within a text")
        texts.append(text.encode())
    seconds = list(map(itemgetter(key["expired_seconds"]), records))
    if set(map(type, seconds)) != {int}:  # an array takes booleans too
        raise TypeError("expired_seconds is no integer")
    return Cells(texts=texts, expired_seconds=array("q", seconds), irregular=irregular)


def _regular(record: Record) -> bool:
    try:
        _joined([record], irregular={})
    except _NOT_WELL_FORMED:
        return False
    return True


_NOT_WELL_FORMED = (LookupError, TypeError, ValueError, OverflowError)
_BLANK: Record = dict.fromkeys(TEXT_FIELDS, "") | {"expired_seconds": 0}
