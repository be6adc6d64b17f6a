"""Turn one record into one row and back, in plain Python: the meaning of the columns, for any record at all.

Pages of well-formed records go a faster way to the same rows (`decode`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from exporter.columns.values import LABELS, codes, parse_money, parse_time, plain_money, plain_time
from exporter.errors import CertificateError
from exporter.orders import FIELDS, Record, plain_language

Row = dict[str, Any]
"""One row by column; times as microseconds since 1970 UTC."""

MISSING = "~missing"
"""The key of `_extra` under which the names of missing fields stand. A field whose own name begins with `~` has
another `~` before it there."""


def row_of(record: Record, *, language: str) -> Row:
    """Return the row of a record; raise CertificateError if it has no time."""
    created_at = _created_at(record)
    row: Row = {"order_id": _text(record.get("order_id")) or "", "created_at": created_at}
    for field in LABELS:
        row |= _labelled(field, _text(record.get(field)), language)
    row["product"] = _text(record.get("product"))
    row["description"] = _text(record.get("description"))
    money = parse_money(_text(record.get("total")) or "")
    row["total"], row["currency"] = money or (None, None)
    row["expired_at"] = parse_time(_text(record.get("expired_at")) or "")
    seconds = record.get("expired_seconds")
    row["expired_seconds"] = seconds if type(seconds) is int and -(2**63) <= seconds < 2**63 else None
    given_back = _plain_record(row, language)
    row["_extra"] = pack(
        {name: value for name, value in record.items() if name not in given_back or differ(value, given_back[name])},
        missing=[name for name in given_back if name not in record],
    )
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
    """Return the text of `_extra` for values that no column gives back, and names of fields that did not come."""
    if not kept and not missing:
        return None
    escaped = {f"~{name}" if name.startswith("~") else name: value for name, value in kept.items()}
    return canonical(escaped | {MISSING: sorted(missing)} if missing else escaped)


def unpack(text: str) -> tuple[Record, list[str]]:
    """Return the values that a text of `_extra` keeps, and the names of the fields that did not come."""
    kept: Record = json.loads(text)  # not orjson: it refuses lone surrogates and makes floats of large integers
    missing = kept.pop(MISSING, [])
    return {name.removeprefix("~"): value for name, value in kept.items()}, missing


def canonical(value: object) -> str:
    """Return JSON that is the same for equal values, and only for them: keys sorted, types told apart."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # lone surrogates, large integers and deep nesting are beyond orjson
        return json.dumps(value, sort_keys=True, separators=(",", ":"))


def differ(one: object, other: object) -> bool:
    """Tell a value of JSON from a text, an integer or None, types told apart."""
    return type(one) is not type(other) or one != other


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


def _created_at(record: Record) -> int:
    if not isinstance(record, dict):
        raise CertificateError(f"the API gave {record!r} in place of an order", hint=_NO_TIME)
    text = _text(record.get("created_at"))
    microseconds = None if text is None else parse_time(text)
    if microseconds is None:
        came = repr(record["created_at"]) if "created_at" in record else "missing"
        raise CertificateError(f"order {record.get('order_id')!r}: created_at is {came}, no time", hint=_NO_TIME)
    return microseconds


_NO_TIME = (
    "without a time neither order nor completeness can be known: narrow --start and --end so that they leave this "
    "order out, and tell the vendor"
)
