"""Count what stands in `_extra`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow._acero import AggregateNodeOptions, Declaration, FilterNodeOptions

from exporter.columns.expressions import evaluated, projections
from exporter.columns.literals import whole
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
    counted, closer = _counted(table.select(["_extra"])), table[:0]
    if counted["spelled"] < counted["kept"] or table["total"].null_count:
        kept = table.filter(table["_extra"].is_valid())
        spelled = pc.and_(pc.match_substring_regex(whole(kept["_extra"]), _SPELLED), whole(kept["total"].is_valid()))
        closer = kept.filter(pc.invert(spelled))
        counted = _counted(kept.select(["_extra"]).filter(spelled))
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


def _counted(rows: pa.Table) -> dict[str, int]:
    """Count the rows `kept` that have an `_extra`, those of them `spelled`, and the `values` if that is all of them."""
    counts: dict[str, int] = evaluated(rows, _steps()).to_pylist()[0]
    return counts


@cache
def _steps() -> Sequence[Declaration]:
    text, none = pc.field("_extra"), pc.ScalarAggregateOptions(min_count=0)
    layer = {"spelled": pc.match_substring_regex(text, _SPELLED), "values": pc.count_substring(text, '":"')}
    counts = [("_extra", "count", None, "kept"), ("spelled", "sum", none, "spelled"), ("values", "sum", none, "values")]
    return [
        Declaration("filter", FilterNodeOptions(text.is_valid())),
        *projections(["_extra"], layer),
        Declaration("aggregate", AggregateNodeOptions(counts)),
    ]


_SPELLED = r'^\{(?:,?"(?:status|total|type)":"[^"\\]*")+\}$'
"""What `_extra` holds where texts were merely spelled otherwise, if the row has a total."""
_PARSED = frozenset(FIELDS) - {"created_at"}  # without a time there is no row
