"""Evaluate Arrow's expressions over a table in one call, off the interpreter's lock.

Kernels called one by one would each want the lock back while the event loop holds it, and wait for it longer than they
run.

The classes are those of `pyarrow.acero`, imported from where that module takes them: it imports pandas, too, where that
is installed. No other module imports them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow._acero import (
    AggregateNodeOptions,
    Declaration,
    FilterNodeOptions,
    ProjectNodeOptions,
    TableSourceNodeOptions,
)

Layer: TypeAlias = Mapping[str, pc.Expression]
"""Columns computed from those of the layer before, whose other columns stay."""

Step: TypeAlias = Declaration
"""What is done to the rows of the step before."""

Aggregate: TypeAlias = tuple[str, str, pc.FunctionOptions | None, str]
"""A column, the function that aggregates it, the function's options, and the name of the result."""


def evaluate(table: pa.Table, steps: Sequence[Step]) -> pa.Table:
    """Return the table that the steps make of `table`."""
    source = Declaration("table_source", TableSourceNodeOptions(table))
    return Declaration.from_sequence([source, *steps]).to_table(use_threads=False)


def project(names: Sequence[str], *layers: Layer) -> Sequence[Step]:
    """Return the steps that add layer after layer to the columns `names`."""
    steps = []
    for layer in layers:
        columns = {name: pc.field(name) for name in names} | dict(layer)
        names = list(columns)
        steps.append(Declaration("project", ProjectNodeOptions(list(columns.values()), names)))
    return steps


def keep(condition: pc.Expression) -> Step:
    """Return the step that keeps the rows for which a condition is true."""
    return Declaration("filter", FilterNodeOptions(condition))


def aggregate(aggregates: Sequence[Aggregate]) -> Step:
    """Return the step that makes one row of all rows."""
    return Declaration("aggregate", AggregateNodeOptions(list(aggregates)))
