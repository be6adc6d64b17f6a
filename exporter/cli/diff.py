"""`exporter diff`: what was added, changed or vanished between two results."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from exporter.cli.app import chosen, command
from exporter.cli.event_loop import in_thread
from exporter.cli.reporting import say
from exporter.config.options import OutputOptions
from exporter.progress.text import table

if TYPE_CHECKING:
    import pyarrow as pa

    from exporter.result import Diff

SHOWN = 20
"""Orders that are shown; all of them are in the file that `--output` names."""

DIFFERENT = 4
"""The exit code of `--exit-code` where the two differ."""

CHANGES = ("added", "changed", "vanished")

EXAMPLES = """\
Examples:
  exporter diff orders-2025-11/ orders-2025-12/
  exporter diff old/ new/ --output changes.csv
  exporter diff old/ new/ --exit-code --json
  exporter diff s3://bucket/orders orders/
"""


@command(OutputOptions, without=("log_file",), epilogue=EXAMPLES)
def diff(
    old: str | Path,
    new: str | Path,
    /,
    *,
    output: Annotated[
        str | Path | None,
        Parameter(help="Write all orders that differ to this file, .parquet or .csv.", metavar="FILE"),
    ] = None,
    exit_code: Annotated[bool, Parameter(help="Exit with 4 if the two differ.", negative="")] = False,
    **given: Any,
) -> int:
    """Report which orders of NEW were added, changed or vanished since OLD. Sends nothing.

    An order has changed if its status or expired_at has; another countdown alone is none. Each is a folder, a file, a
    folder of teams, or the URL that one was published at.
    """
    from exporter.delivery.publish.location import is_url

    shown = chosen(given).values
    work = partial(_compared, old, new, output)
    found = in_thread(work) if is_url(old) or is_url(new) else work()
    for note in () if shown["quiet"] else found.notes:
        say(f"note: {note}")
    if shown["json"]:
        print(json.dumps(found.counts))
    elif not shown["quiet"]:
        print(described(found))
    return DIFFERENT if exit_code and found.differ else 0


def _compared(old: str | Path, new: str | Path, output: str | Path | None) -> Diff:
    from exporter.delivery.convert import write_changes
    from exporter.delivery.publish.published import results_of
    from exporter.store.diff import changes_schema, diff

    before, after = results_of(old), results_of(new)

    def compare(write: Callable[[pa.Table], None]) -> Diff:
        return diff(before, after, write=write, keep=SHOWN)

    if output is None:
        return compare(lambda _: None)
    return write_changes(Path(output), [*before, *after], changes_schema(before, after), compare)


def described(found: Diff) -> str:
    """Return what differs as a person reads it: numbers, by status, by month, and the first orders."""
    counts = found.counts
    pieces = [", ".join(f"{count:,} {name}" for name, count in counts.items())]
    if found.by_status:
        rows = [(old or "-", "→", new or "-", f"{count:,}") for (old, new), count in found.by_status.items()]
        pieces.append(table([("old status", "", "new status", "orders"), *rows]))
        months = [(month, *(f"{by.get(change, 0):,}" for change in CHANGES)) for month, by in found.by_month.items()]
        pieces.append(table([("month", *CHANGES), *months]))
        pieces.append(_first(found.changes))
    if left := sum(counts[change] for change in CHANGES) - len(found.changes):
        pieces.append(f"and {left:,} more: --output writes them all")
    return "\n\n".join(pieces)


def _first(changes: pa.Table) -> str:
    names = [*(["team"] if "team" in changes.column_names else []), "change", "order_id", "created_at", "type"]
    names += ["total", "currency", "old_status", "status"]
    rows = [
        ["" if value is None else _shown(value) for value in row.values()] for row in changes.select(names).to_pylist()
    ]
    return table([names, *rows])


def _shown(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else "".join(map(_visible, str(value)))


def _visible(character: str) -> str:
    return character if character.isprintable() else "�"
