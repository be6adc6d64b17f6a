"""Update the results of many teams, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from exporter.config.options import Settings
from exporter.events import Event, ignore
from exporter.teams import TeamsSummary, export_teams
from exporter.teams.export import One
from exporter.updating.update import Write, update


async def update_teams(
    out: Path,
    teams: Mapping[str, Settings],
    *,
    changes: Callable[[str], Write] | None = None,
    on_event: Callable[[Event], None] = ignore,
) -> TeamsSummary:
    """Update the result of each team in OUT/team=NAME; what of one fails is in its outcome, never raised.

    `changes` gives what takes the orders of a team that differ. Raise ConfigError if OUT can't be used.
    """

    def one(name: str) -> One:
        return update if changes is None else partial(update, changes=changes(name))

    return await export_teams(out, teams, on_event=on_event, one=one)
