"""Count what `_extra` holds, by field and by the reason why its column could not hold it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.record_codec import unpack
from exporter.delivery.report.text import clipped
from exporter.vendor.orders import FIELDS

NAMES = 200
"""Distinct field names that have counts of their own; later ones are counted as one."""

EXAMPLE_LENGTH = 80


class Reason(StrEnum):
    """Why a value is in `_extra`."""

    SPELLED = "another spelling; the column holds the value"
    UNREAD = "does not parse; the column is null"
    OTHER_TYPE = "a value that the column cannot hold; it is null or empty"
    UNKNOWN = "no column has this field"
    MISSING = "the record did not have this field"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtraKind:
    """How many values of one field are in `_extra` for one reason; the example is JSON."""

    name: str
    reason: Reason
    values: int
    example: str | None


@dataclass(slots=True)
class ExtraKinds:
    """Counts that batches of rows are added to."""

    _counts: dict[tuple[str, Reason], int] = field(default_factory=dict)
    _examples: dict[tuple[str, Reason], str | None] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Count the rows of one batch; equal texts are parsed once."""
        table = table.filter(pc.is_valid(table["_extra"]))
        if not len(table):
            return
        lost = {f"lost_{name}": pc.is_null(table[name]) for name in _PARSED}
        texts = pa.table({"_extra": table["_extra"], **lost}).group_by(["_extra", *lost], use_threads=False)
        for row in texts.aggregate([([], "count_all")]).to_pylist():
            for name, reason, example in _members(row):
                self._count(name, reason, row["count_all"], example)

    def kinds(self) -> Sequence[ExtraKind]:
        """Return the counts, the largest first."""
        found = [
            ExtraKind(name=name, reason=reason, values=values, example=self._examples[name, reason])
            for (name, reason), values in self._counts.items()
        ]
        return sorted(found, key=lambda kind: (-kind.values, kind.name, kind.reason))

    def _count(self, name: str, reason: Reason, values: int, example: Any) -> None:
        key = (clipped(name), reason)
        if key not in self._counts:
            if len(self._counts) >= NAMES:
                key = ("(others)", reason)
            self._examples.setdefault(key, None if reason is Reason.MISSING else _example(example))
        self._counts[key] = self._counts.get(key, 0) + values


def _members(row: dict[str, Any]) -> Iterator[tuple[str, Reason, Any]]:
    kept, missing = unpack(row["_extra"])
    for name in missing:
        yield name, Reason.MISSING, None
    for name, value in kept.items():
        yield name, _reason(name, value, lost=row.get(f"lost_{name}", False)), value


def _reason(name: str, value: Any, *, lost: bool) -> Reason:
    if name not in FIELDS:
        return Reason.UNKNOWN
    if not isinstance(value, str) or name not in _SPELLED:
        return Reason.OTHER_TYPE
    return Reason.UNREAD if lost else Reason.SPELLED


def _example(value: Any) -> str:
    return clipped(json.dumps(value, ensure_ascii=False), EXAMPLE_LENGTH)


_PARSED = ("total", "expired_at")
"""Texts that may fail to parse; a time of creation that fails ends the export."""
_SPELLED = frozenset({"type", "status", "total", "created_at", "expired_at"})
"""Texts that have a plain spelling."""
