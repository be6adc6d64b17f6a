"""Turn one record into one row and back, in plain Python: the meaning of the columns, for every record.

Between the two are its cells: each field as its column can hold it, and the rest as JSON. `decode` makes the same rows
of whole pages, faster.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from exporter.columns import deep_json
from exporter.columns.text_formats import LABELS, codes, parse_money, parse_time, plain_money, plain_time
from exporter.errors import CertificateError
from exporter.vendor.foreign_text import quoted
from exporter.vendor.orders import FIELDS, SEPARATOR, Record, plain_language

TEXT_FIELDS = tuple(name for name in FIELDS if name != "expired_seconds")
REST = "rest"
MISSING = "~missing"
"""The key of `_extra` whose value names the missing fields. A field whose own name begins with `~` has another `~`
before it there."""

RecordCells = dict[str, Any]
"""The nine fields, texts and an integer or None, and under REST the members of `_extra` for all that they can't hold:
JSON without its braces, or None."""
Row = dict[str, Any]
"""One row by column; times as microseconds since 1970 UTC."""


def cells_of(record: Record) -> RecordCells:
    """Return the cells of a record; raise CertificateError if it is not an object."""
    if not isinstance(record, dict):
        raise CertificateError(f"the API gave {quoted(record)} in place of an order", hint=_NO_TIME)
    cells: RecordCells = {name: _text(record.get(name)) for name in TEXT_FIELDS}
    for name in ("order_id", "expired_at"):  # their columns have no null that gives back null
        cells[name] = "" if cells[name] is None else cells[name]
    seconds = record.get("expired_seconds")
    cells["expired_seconds"] = seconds if type(seconds) is int and -(2**63) <= seconds < 2**63 else None
    kept = {name: value for name, value in record.items() if cells.get(name, ...) is not value}
    rest = pack(kept, missing=[name for name in cells if name not in record])
    return cells | {REST: rest and rest[1:-1]}


def unknown(records: Sequence[Record]) -> bytes:
    """Return each record's members of `_extra` for the fields that no column has, joined by SEPARATOR.

    Raise TypeError or ValueError where that needs more than plain JSON, which `pack` can do.
    """
    kept = [{name: value for name, value in record.items() if name not in _KNOWN} for record in records]
    if any(name.startswith("~") for name in set().union(*kept)):
        raise ValueError("a field's name begins with `~`, which `_extra` escapes")
    return SEPARATOR.encode().join(map(_sorted, kept)).replace(_BETWEEN, SEPARATOR.encode())[1:-1]


def row_of(cells: RecordCells, *, language: str) -> Row:
    """Return the row of a record; raise CertificateError if it has no time."""
    row: Row = {name: cells[name] for name in ("order_id", "product", "description", "expired_seconds")}
    row["created_at"] = parse_time(cells["created_at"] or "")
    if row["created_at"] is None:
        raise _no_time(cells)
    row["expired_at"] = parse_time(cells["expired_at"])
    for field in LABELS:
        row |= _labelled(field, cells[field], language)
    row["total"], row["currency"] = parse_money(cells["total"] or "") or (None, None)
    given_back = _plain_record(row, language)
    reformatted = {name: cells[name] for name in TEXT_FIELDS if cells[name] not in (None, given_back[name])}
    members = [cells[REST], canonical(reformatted)[1:-1]]
    row["_extra"] = f"{{{','.join(filter(None, members))}}}" if any(members) else None
    return row


def record_of(row: Row, *, language: str) -> Record:
    """Return the record that a row was made of."""
    record = _plain_record(row, language)
    if row["_extra"] is not None:
        kept, missing = unpack(row["_extra"])
        record |= kept
        for name in missing:
            del record[name]
    return record


def pack(kept: Record, *, missing: Sequence[str] = ()) -> str | None:
    """Return the text of `_extra` for values that no column gives back, and names of fields that were missing."""
    if not kept and not missing:
        return None
    escaped = {f"~{name}" if name.startswith("~") else name: value for name, value in kept.items()}
    return canonical(escaped | {MISSING: sorted(missing)} if missing else escaped)


def unpack(text: str) -> tuple[Record, list[str]]:
    """Return the values that a text of `_extra` keeps, and the names of the fields that were missing."""
    kept = read_json(text)
    missing = kept.pop(MISSING, [])
    return {name.removeprefix("~"): value for name, value in kept.items()}, missing


def canonical(value: object) -> str:
    """Return JSON that is the same for equal values, and only for them: keys sorted, types distinct."""
    try:
        return _sorted(value).decode()
    except TypeError:  # lone surrogates, large integers and deep nesting are beyond orjson
        pass
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        return deep_json.dumps(value)


def read_json(text: str) -> Record:
    """Return the object of a text that `canonical` wrote, or that was made of such texts."""
    try:
        members: Record = json.loads(text)  # not orjson: it refuses lone surrogates and makes floats of large integers
    except RecursionError:
        members = deep_json.loads(text)
    return members


def _plain_record(row: Row, language: str) -> Record:
    labels = {field: _label(field, row, language) for field in LABELS}
    total, expired_at = row["total"], row["expired_at"]
    texts = {
        "total": None if total is None else plain_money(total, row["currency"]),
        "created_at": plain_time(row["created_at"]),
        "expired_at": "" if expired_at is None else plain_time(expired_at),
    }
    return {field: row[field] for field in FIELDS} | labels | texts


def _text(value: object) -> str | None:
    """Return a value if a column of text can hold it: a string without lone surrogates."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _labelled(field: str, label: str | None, language: str) -> Row:
    code = codes(field, language).get(label) if label is not None else None
    return {field: label if code is None else LABELS[field]["en"][code], f"{field}_code": code}


def _label(field: str, row: Row, language: str) -> str | None:
    code = row[f"{field}_code"]
    return row[field] if code is None else LABELS[field][plain_language(language)][code]


def _no_time(cells: RecordCells) -> CertificateError:
    kept, missing = unpack(f"{{{cells[REST] or ''}}}")
    record = {name: value for name, value in (cells | kept).items() if name not in missing}
    came = quoted(record["created_at"]) if "created_at" in record else "missing"
    return CertificateError(f"order {quoted(record.get('order_id'))}: created_at is {came}, not a time", hint=_NO_TIME)


_sorted = partial(orjson.dumps, option=orjson.OPT_SORT_KEYS)
_BETWEEN = f"}}{SEPARATOR}{{".encode()  # nowhere else: in JSON the separator is escaped
_KNOWN = frozenset(FIELDS)
_NO_TIME = (
    "without a time neither order nor completeness can be known: narrow --start and --end so that they leave this "
    "order out, and tell the vendor"
)
