"""Count what is stored in `_extra`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.acero import Aggregate, Step, aggregate, evaluate, keep, project
from exporter.columns.record_codec import MISSING, read_json, unpack
from exporter.vendor.foreign_text import quoted
from exporter.vendor.orders import FIELDS, Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """What is stored in `_extra`: how many values, how many of them no column could hold, and an example of these."""

    values: int
    unparsed: int
    example: str | None


def extras(table: pa.Table) -> Extras:
    """Count what is stored in `_extra`: of most rows by patterns, of the others one by one."""
    if table["_extra"].null_count == len(table):
        return Extras(values=0, unparsed=0, example=None)
    values = 0
    for pattern in (_FORMATTED, _FLAT):
        counted = evaluate(table.select(["_extra", "total"]), _count(pattern)).to_pylist()[0]
        values += counted["values"]
        if counted["plain"] == counted["kept"]:
            return Extras(values=values, unparsed=0, example=None)
        table = evaluate(table, _drop_counted(pattern))
    unparsed, example = 0, None
    for index, text in enumerate(table["_extra"].to_pylist()):
        given = _members(text)
        values += len(given.pop(MISSING, [])) + len(given)
        lost = [
            name
            for name in given.keys() & _PARSED
            if given[name] is not None and table[name][index].as_py() in (None, "")
        ]
        unparsed += len(lost)
        if lost and example is None:
            kept, name = unpack(text)[0], min(lost)
            order_id = table["order_id"][index].as_py() or kept.get("order_id")
            example = f"order {quoted(order_id)}: {name} is {quoted(kept[name])}"
    return Extras(values=values, unparsed=unparsed, example=example)


def _members(text: str) -> Record:
    """Return the members of a text of `_extra`; a number need not be exact, only differ from `null`."""
    try:
        members: Record = orjson.loads(text)
    except orjson.JSONDecodeError:  # a lone surrogate
        members = read_json(text)
    return members


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pattern:
    """A pattern of texts in which no column lost anything."""

    matches: pc.Expression
    member: str
    """What each member of such a text contains exactly once."""

    @property
    def plain(self) -> pc.Expression:
        """Whether a row's text matches; not if its price could not be parsed, which is a loss."""
        return self.matches & pc.field("total").is_valid()


@cache
def _count(pattern: _Pattern) -> Sequence[Step]:
    """Count the rows `kept` that have an `_extra`, those of them that are `plain`, and the `values` of the plain."""
    plain, none = pc.field("plain"), pc.ScalarAggregateOptions(min_count=0)
    counts: list[Aggregate] = [
        ("_extra", "count", None, "kept"),
        ("plain", "sum", none, "plain"),
        ("values", "sum", none, "values"),
    ]
    return [
        keep(_EXTRA.is_valid()),
        *project(
            ["_extra"],
            {"plain": pattern.plain},
            {"values": pc.count_substring(_EXTRA, pattern.member) * plain.cast(pa.int32())},
        ),
        aggregate(counts),
    ]


@cache
def _drop_counted(pattern: _Pattern) -> Sequence[Step]:
    return [keep(_EXTRA.is_valid() & ~pattern.plain)]


_EXTRA = pc.field("_extra")
_FORMATTED = _Pattern(
    matches=pc.match_substring_regex(_EXTRA, r'^\{(?:,?"(?:status|total|type)":"[^"\\]*")+\}$'), member='":"'
)
"""Values that were merely formatted otherwise."""
_FLAT = _Pattern(
    matches=pc.match_substring_regex(_EXTRA, r'^\{(?:,?"[^":\\]*":(?:"(?:[^":\\][^"\\]*)?"|[^"\\{}\[\],]+))+\}$')
    & ~pc.match_substring_regex(
        _EXTRA, r'"(?:order_id|product|description|expired_at|expired_seconds)":|"(?:status|total|type)":[^"]'
    ),
    member='":',
)
"""Fields that no column has, too, if nothing is nested or escaped in them: a colon after a quote ends a name."""
_PARSED = frozenset(FIELDS) - {"created_at"}  # without a time there is no row
