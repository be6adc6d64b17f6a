"""`exporter status`: what OUT holds, and what is under way beside it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from exporter.cli.app import chosen, command
from exporter.config.options import OutputOptions
from exporter.progress.text import counted, in_zone, size, table
from exporter.vendor.orders import wire_time

if TYPE_CHECKING:
    from exporter.store import Manifest, Status
    from exporter.store.status import Unfinished

EXAMPLES = """\
Examples:
  exporter status orders/
  exporter status orders/ --json
"""


@command(OutputOptions, without=("quiet", "log_file"), epilogue=EXAMPLES)
def status(out: str | Path, /, **given: Any) -> int:
    """Show what OUT holds, or what is under way beside it. Sends nothing."""
    from exporter.store import status as status_of
    from exporter.store.finished import holds_teams, teams_in

    as_json = chosen(given).values["json"]
    if holds_teams(Path(out)):
        teams = {name: status_of(folder) for name, folder in teams_in(Path(out)).items()}
        if as_json:
            facts = {name: _facts(found) for name, found in teams.items()}
            print(json.dumps({"out": str(out), "teams": facts}, ensure_ascii=False))
        else:
            print(table([("team", "state", "orders", "range"), *(_team_row(*each) for each in teams.items())]))
        return 0
    found = status_of(Path(out))
    if as_json:
        print(json.dumps(_facts(found), ensure_ascii=False))
    else:
        print(table(_rows(found)))
    return 0


def _team_row(name: str, found: Status) -> tuple[str, str, str, str]:
    """Return one team as a row of the table of all."""
    if found.progress is not None:
        return name, str(found.state), f"{found.progress.rows:,}", _under_way(found.progress)
    if found.finished is not None:
        first, last, _ = _moments(found.finished)
        return name, str(found.state), f"{found.finished.counts['rows']:,}", f"{first} to {last}"
    return name, str(found.state), "-", "-"


def _facts(found: Status) -> dict[str, Any]:
    """Return what `--json` prints."""
    finished, progress = found.finished, found.progress
    facts: dict[str, Any] = {"out": str(found.out), "state": str(found.state)}
    if finished is not None:
        first, last, made = _moments(finished)
        facts |= {**finished.counts, "complete": finished.complete, "query": dict(finished.query)}
        facts |= {"start": first, "end": last, "made": made}
        if (updated := _updated(finished)) is not None:
            facts["updated"] = updated
    if progress is not None:
        facts["progress"] = {
            "update": progress.updates,
            "query": dict(progress.query),
            "rows": progress.rows,
            "expected_rows": progress.expected,
            "segments": progress.segments,
            "committed_to": None if progress.committed_to is None else wire_time(progress.committed_to),
            "left": [[wire_time(span.start), wire_time(span.stop)] for span in progress.left],
            "held_by": None if found.holder is None else str(found.holder),
        }
    return facts


def _rows(found: Status) -> list[tuple[str, str]]:
    """Return what a person reads, as the rows of a table."""
    finished, progress = found.finished, found.progress
    rows = [("out", str(found.out)), ("state", str(found.state))]
    if finished is not None:
        first, last, made = _moments(finished)
        counts = finished.counts
        held = f"{counted(counts['rows'], 'order')}, {counted(counts['parts'], 'part')}, {size(counts['bytes'])}"
        rows += [("result", held), ("range", f"{first} to {last}"), ("made", made or "-")]
        rows += [("updated", updated)] if (updated := _updated(finished)) is not None else []
        rows += [("query", _query(finished.query))]
    if progress is not None:
        rows += [("under way", _under_way(progress)), ("query", _query(progress.query))]
    if found.holder is not None:
        rows += [("running", str(found.holder))]
    return rows


def _under_way(progress: Unfinished) -> str:
    """Return how far an unfinished export is, in its time zone."""
    kind = "unfinished update: " if progress.updates else ""
    return in_zone(f"{kind}{progress}", progress.query["timezone"])


def _moments(manifest: Manifest) -> tuple[str, str, str | None]:
    """Return a result's first and last moment, inclusive, and when its last page came, in the result's time zone."""
    made = max((segment.certificate.fetched_to for segment in manifest.segments), default=None)
    first, last = (_local(second, manifest) for second in (manifest.whole.start, manifest.whole.stop - 1))
    return first, last, None if made is None else _local(made, manifest)


def _updated(manifest: Manifest) -> str | None:
    """Return when a result was updated last, in its time zone; None if it never was."""
    return None if manifest.updated is None else _local(manifest.updated, manifest)


def _local(second: float, manifest: Manifest) -> str:
    return dt.datetime.fromtimestamp(int(second), ZoneInfo(manifest.timezone)).isoformat()


def _query(asked: Any) -> str:
    return ", ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in asked.items()
        if value not in (None, [], {}, "", False)
    )
