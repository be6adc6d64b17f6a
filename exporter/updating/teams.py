"""Update the results of many teams, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from exporter.config.options import Settings
from exporter.crawl.engine import Opened
from exporter.events import Event, ignore
from exporter.export import Resources
from exporter.progress.summary import Summary
from exporter.teams import TeamsSummary, export_teams
from exporter.updating.changes import TeamsChanges
from exporter.updating.rounds import update


async def update_teams(
    out: Path,
    teams: Mapping[str, Settings],
    *,
    changes: TeamsChanges | None = None,
    on_event: Callable[[Event], None] = ignore,
) -> TeamsSummary:
    """Update the result of each team in OUT/team=NAME; what of one fails is in its outcome, never raised.

    `changes` takes the orders of all that differ, and is written at the end. Raise ConfigError if OUT can't be used.
    """

    def work(
        folder: Path,
        settings: Settings,
        *,
        on_event: Callable[[Event], None],
        resources: Resources,
        on_opened: Opened,
    ) -> Awaitable[Summary]:
        write = None if changes is None else changes.of(folder.name.removeprefix("team="))
        return update(folder, settings, changes=write, on_event=on_event, resources=resources, on_opened=on_opened)

    summary = await export_teams(out, teams, on_event=on_event, work=work)
    if changes is not None and any(one.summary is not None for one in summary.outcomes.values()):
        await asyncio.to_thread(changes.write, out)
    return summary
