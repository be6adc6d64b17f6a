"""Count what stands in `_extra`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow._acero import AggregateNodeOptions, Declaration, FilterNodeOptions

from exporter.columns.expressions import evaluated, projections
from exporter.columns.rows import unpack
from exporter.orders import FIELDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """What stands in `_extra`: how many values, how many of them no column could hold, and one of these in words."""

    values: int
    unparsed: int
    example: str | None


def extras(table: pa.Table) -> Extras:
    """Count what stands in `_extra`."""
    counted = evaluated(table.select(["_extra", "total"]), _counting()).to_pylist()[0]
    closer = table[:0] if counted["plain"] == counted["kept"] else evaluated(table, _leaving_plain())
    values, unparsed, example = counted["values"], 0, None
    for place, text in enumerate(closer["_extra"].to_pylist()):
        given, missing = unpack(text)
        lost = sorted(
            name
            for name in given.keys() & _PARSED
            if given[name] is not None and closer[name][place].as_py() in (None, "")
        )
        values += len(given) + len(missing)
        unparsed += len(lost)
        if lost and example is None:
            order_id = closer["order_id"][place].as_py() or given.get("order_id")
            example = f"order {order_id!r}: {lost[0]} is {given[lost[0]]!r}"
    return Extras(values=values, unparsed=unparsed, example=example)


@cache
def _counting() -> Sequence[Declaration]:
    """Count the rows `kept` that have an `_extra`, those of them that are `plain`, and the `values` of the plain."""
    plain, none = pc.field("plain"), pc.ScalarAggregateOptions(min_count=0)
    counts = [("_extra", "count", None, "kept"), ("plain", "sum", none, "plain"), ("values", "sum", none, "values")]
    return [
        Declaration("filter", FilterNodeOptions(_EXTRA.is_valid())),
        *projections(
            ["_extra"],
            {"plain": _PLAIN},
            {"values": pc.count_substring(_EXTRA, '":"') * plain.cast(pa.int32())},
        ),
        Declaration("aggregate", AggregateNodeOptions(counts)),
    ]


@cache
def _leaving_plain() -> Sequence[Declaration]:
    return [Declaration("filter", FilterNodeOptions(_EXTRA.is_valid() & ~_PLAIN))]


_EXTRA = pc.field("_extra")
_PLAIN = (
    pc.match_substring_regex(_EXTRA, r'^\{(?:,?"(?:status|total|type)":"[^"\\]*")+\}$') & pc.field("total").is_valid()
)
"""Tell where texts were merely spelled otherwise: each value is one text, and a column holds what it says."""
_PARSED = frozenset(FIELDS) - {"created_at"}  # without a time there is no row
