"""Count what stands in `_extra`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow._acero import AggregateNodeOptions, Declaration, FilterNodeOptions

from exporter.columns.acero import evaluated, projections
from exporter.columns.record_codec import MISSING, unpack
from exporter.vendor.orders import FIELDS, Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """What stands in `_extra`: how many values, how many of them no column could hold, and one of these in words."""

    values: int
    unparsed: int
    example: str | None


def extras(table: pa.Table) -> Extras:
    """Count what stands in `_extra`: of most rows by patterns, of those that remain one by one."""
    values = 0
    for way in (_SPELLED, _FLAT):
        counted = evaluated(table.select(["_extra", "total"]), _counting(way)).to_pylist()[0]
        values += counted["values"]
        if counted["plain"] == counted["kept"]:
            return Extras(values=values, unparsed=0, example=None)
        table = evaluated(table, _leaving(way))
    unparsed, example = 0, None
    for place, text in enumerate(table["_extra"].to_pylist()):
        given = _members(text)
        values += len(given.pop(MISSING, [])) + len(given)
        lost = [
            name
            for name in given.keys() & _PARSED
            if given[name] is not None and table[name][place].as_py() in (None, "")
        ]
        unparsed += len(lost)
        if lost and example is None:
            kept, name = unpack(text)[0], min(lost)
            order_id = table["order_id"][place].as_py() or kept.get("order_id")
            example = f"order {order_id!r}: {name} is {kept[name]!r}"
    return Extras(values=values, unparsed=unparsed, example=example)


def _members(text: str) -> Record:
    """Return the members of a text of `_extra`; of numbers, it matters only that they are none of `null`."""
    try:
        members: Record = orjson.loads(text)
    except orjson.JSONDecodeError:  # a lone surrogate
        members = json.loads(text)
    return members


@dataclass(frozen=True, kw_only=True, eq=False)
class _Way:
    """A pattern of texts in which no column lost anything, and what each member of them has once."""

    pattern: pc.Expression
    member: str

    @property
    def plain(self) -> pc.Expression:
        """Tell which texts it is true of: a price that does not parse is lost."""
        return self.pattern & pc.field("total").is_valid()


@cache
def _counting(way: _Way) -> Sequence[Declaration]:
    """Count the rows `kept` that have an `_extra`, those of them that are `plain`, and the `values` of the plain."""
    plain, none = pc.field("plain"), pc.ScalarAggregateOptions(min_count=0)
    counts = [("_extra", "count", None, "kept"), ("plain", "sum", none, "plain"), ("values", "sum", none, "values")]
    return [
        Declaration("filter", FilterNodeOptions(_EXTRA.is_valid())),
        *projections(
            ["_extra"],
            {"plain": way.plain},
            {"values": pc.count_substring(_EXTRA, way.member) * plain.cast(pa.int32())},
        ),
        Declaration("aggregate", AggregateNodeOptions(counts)),
    ]


@cache
def _leaving(way: _Way) -> Sequence[Declaration]:
    return [Declaration("filter", FilterNodeOptions(_EXTRA.is_valid() & ~way.plain))]


_EXTRA = pc.field("_extra")
_SPELLED = _Way(
    pattern=pc.match_substring_regex(_EXTRA, r'^\{(?:,?"(?:status|total|type)":"[^"\\]*")+\}$'), member='":"'
)
"""Texts that were merely spelled otherwise."""
_FLAT = _Way(
    pattern=pc.match_substring_regex(_EXTRA, r'^\{(?:,?"[^":\\]*":(?:"(?:[^":\\][^"\\]*)?"|[^"\\{}\[\],]+))+\}$')
    & ~pc.match_substring_regex(
        _EXTRA, r'"(?:order_id|product|description|expired_at|expired_seconds)":|"(?:status|total|type)":[^"]'
    ),
    member='":',
)
"""Fields that no column has, too, if nothing is nested or escaped in them: a colon after a quote ends a name."""
_PARSED = frozenset(FIELDS) - {"created_at"}  # without a time there is no row
