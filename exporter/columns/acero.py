"""Evaluate Arrow's expressions over a table in one call, off the interpreter's lock.

Kernels called one by one would each want the lock back while the event loop holds it, and wait for it longer than they
run.

The classes are those of `pyarrow.acero`, from where it takes them: it imports pandas, too, where that is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow._acero import Declaration, ProjectNodeOptions, TableSourceNodeOptions

Layer = Mapping[str, pc.Expression]
"""Columns as they follow from those of the layer before, whose other columns stay."""


def evaluated(table: pa.Table, steps: Sequence[Declaration]) -> pa.Table:
    """Return what the steps make of a table."""
    source = Declaration("table_source", TableSourceNodeOptions(table))
    return Declaration.from_sequence([source, *steps]).to_table(use_threads=False)


def projections(names: Sequence[str], *layers: Layer) -> Sequence[Declaration]:
    """Return the steps that add layer after layer to the columns `names`."""
    steps = []
    for layer in layers:
        columns = {name: pc.field(name) for name in names} | dict(layer)
        names = list(columns)
        steps.append(Declaration("project", ProjectNodeOptions(list(columns.values()), names)))
    return steps
