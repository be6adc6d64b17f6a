"""Sum up a run of several teams: for `--json`, for a reader, and for `_teams.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exporter.errors import ExportError
from exporter.events import TeamFailed
from exporter.progress.summary import Summary
from exporter.progress.text import counted, duration, size, table
from exporter.store.disk import Disk
from exporter.store.layout import Layout
from exporter.store.teams_list import COMPLETE, FAILED, NAME, UNFINISHED, teams_of, text_of

BUG = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the export of one team ended: its figures, or the error; neither if it was stopped."""

    summary: Summary | None = None
    error: Exception | None = None

    @property
    def state(self) -> str:
        """`complete`, `failed` or `unfinished`."""
        if self.error is not None:
            return FAILED
        if self.summary is None:
            return UNFINISHED
        return COMPLETE if self.summary.complete else FAILED

    @property
    def exit_code(self) -> int | None:
        """The exit code of its failure; None without one."""
        if self.state != FAILED:
            return None
        if self.error is None:
            return 4
        return self.error.exit_code if isinstance(self.error, ExportError) else BUG

    @property
    def message(self) -> str | None:
        """What went wrong; None if nothing did."""
        if self.error is not None:
            text = str(self.error) or type(self.error).__name__
            return text if isinstance(self.error, ExportError) else f"{type(self.error).__name__}: {text}"
        if self.state == FAILED and self.summary is not None:
            return f"these spans could not be certified: {', '.join(self.summary.uncertified)}"
        return None

    def failure(self, team: str) -> TeamFailed | None:
        """Return what is reported of a team that failed; None of any other."""
        if self.exit_code is None:
            return None
        hint = self.error.hint if isinstance(self.error, ExportError) else None
        return TeamFailed(team=team, message=self.message or "", hint=hint, exit_code=self.exit_code)


@dataclass(frozen=True, kw_only=True)
class TeamsSummary:
    """The figures of one run of several teams."""

    out: str
    outcomes: Mapping[str, Outcome]
    elapsed_seconds: float

    @property
    def complete(self) -> bool:
        """Whether all teams are complete."""
        return all(one.state == COMPLETE for one in self.outcomes.values())

    @property
    def failed(self) -> list[str]:
        """The teams that failed, in order."""
        return [name for name, one in self.outcomes.items() if one.state == FAILED]

    @property
    def exit_code(self) -> int:
        """The smallest exit code among the teams that failed; 0 if none did."""
        return min((one.exit_code for one in self.outcomes.values() if one.exit_code is not None), default=0)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        done = [one.summary for one in self.outcomes.values() if one.summary is not None]
        rows = sum(one.rows for one in done)
        teams: dict[str, Any] = {}
        for name, one in self.outcomes.items():
            facts: dict[str, Any] = {"complete": False} if one.summary is None else asdict(one.summary)
            if one.message is not None:
                hint = getattr(one.error, "hint", None) or ""
                facts |= {"complete": False, "error": one.message, "hint": hint, "exit": one.exit_code}
            teams[name] = facts
        return {
            "complete": self.complete,
            "teams": teams,
            "failed": self.failed,
            "rows": rows,
            "requests": sum(one.requests for one in done),
            "retries": sum(one.retries for one in done),
            "rate_limited": sum(one.rate_limited for one in done),
            "parts": sum(one.parts for one in done),
            "bytes": sum(one.bytes for one in done),
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "rows_per_second": round(rows / max(self.elapsed_seconds, 1e-9), 1),
            "out": self.out,
        }

    def __str__(self) -> str:
        rows = [("team", "state", "orders", "requests", "size", "")]
        for name, one in self.outcomes.items():
            done = one.summary
            figures = ("", "", "") if done is None else (f"{done.rows:,}", f"{done.requests:,}", size(done.bytes))
            rows.append((name, one.state, *figures, one.message or ""))
        total = self.as_json()
        complete = sum(one.state == COMPLETE for one in self.outcomes.values())
        verdict = (
            f"{complete} of {counted(len(self.outcomes), 'team')} complete: {total['rows']:,} orders, "
            f"{total['requests']:,} requests, {size(total['bytes'])}, {duration(self.elapsed_seconds)}"
        )
        return f"{table(rows)}\n{verdict}"


def write_list(out: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Replace OUT's `_teams.json`: what it says of teams that this run did not touch, it keeps saying."""
    path = out / NAME
    teams = _listed(path)
    for name, one in outcomes.items():
        facts: dict[str, Any] = {"state": one.state, "rows": 0, "bytes": 0, "sha256": None}
        manifest = Layout.of(out / f"team={name}").manifest
        if one.summary is not None and manifest.is_file():
            digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
            facts |= {"rows": one.summary.rows, "bytes": one.summary.bytes, "sha256": digest}
        teams[name] = {**facts, "error": one.message, "exit": one.exit_code}
    Disk().write_whole(path, text_of(teams))


def _listed(path: Path) -> dict[str, Any]:
    """Return the teams that are listed already; a list that can't be read is made anew."""
    try:
        return teams_of(path.read_bytes())
    except (OSError, ValueError):
        return {}
