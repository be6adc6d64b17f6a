"""Count what stands in `_extra`."""

from __future__ import annotations

from dataclasses import dataclass

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
    rows, closer = table.select(["_extra"]), table[:0]
    counted = _counted(rows)
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
    """Count the rows `kept` whose `_extra` is not null, those `spelled`, and the `values`, if all are `spelled`."""
    return {name: column[0].as_py() for name, column in zip(_COUNTS, evaluated(rows, _steps()).columns, strict=True)}


def _steps() -> list[Declaration]:
    text = pc.field("_extra")
    layer = {"spelled": pc.match_substring_regex(text, _SPELLED), "values": pc.count_substring(text, '":"')}
    none = pc.ScalarAggregateOptions(min_count=0)
    sums = [(name, "sum", none, name) for name in ("spelled", "values")]
    return [
        Declaration("filter", FilterNodeOptions(text.is_valid())),
        *projections(["_extra"], layer),
        Declaration("aggregate", AggregateNodeOptions([("_extra", "count", None, "kept"), *sums])),
    ]


_COUNTS = ("kept", "spelled", "values")
_SPELLED = r'^\{(?:,?"(?:status|total|type)":"[^"\\]*")+\}$'
"""What `_extra` holds where texts were merely spelled otherwise, if the row has a total."""
_PARSED = frozenset(FIELDS) - {"created_at"}  # without a time there is no row
