"""`exporter status` and `exporter verify`: what stands on the disk, and whether it is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporter.cli.declare import chosen, command
from exporter.config import Output
from exporter.orders import wire_time
from exporter.tables import size, table

STATUS_EXAMPLES = """\
Examples:
  exporter status orders/
  exporter status orders/ --json
"""


@command(Output, without=("quiet", "log_file"), epilogue=STATUS_EXAMPLES)
def status(out: str, /, **given: Any) -> int:
    """Tell what stands in OUT, or is under way beside it. Sends nothing."""
    from exporter.store import status as status_of

    found = status_of(Path(out))
    finished, progress = found.finished, found.progress
    facts: dict[str, Any] = {"out": str(found.out), "state": str(found.state)}
    if finished is not None:
        facts |= {**finished.counts, "complete": finished.complete, "query": dict(finished.query)}
    if progress is not None:
        facts["progress"] = {
            "query": dict(progress.asked),
            "rows": progress.rows,
            "segments": progress.segments,
            "committed_to": None if progress.committed_to is None else wire_time(progress.committed_to),
            "left": [[wire_time(span.start), wire_time(span.stop)] for span in progress.left],
            "held_by": None if found.holder is None else str(found.holder),
        }
    if chosen(given).values["json"]:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    rows = [("out", str(found.out)), ("state", str(found.state))]
    if finished is not None:
        counts = finished.counts
        rows += [("result", f"{counts['rows']:,} orders, {counts['parts']} part(s), {size(counts['bytes'])}")]
        rows += [("query", _query(finished.query))]
    if progress is not None:
        rows += [("under way", str(progress)), ("query", _query(progress.asked))]
    if found.holder is not None:
        rows += [("running", str(found.holder))]
    print(table(rows))
    return 0


def _query(asked: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in asked.items() if value not in (None, [], {}, "", False))
