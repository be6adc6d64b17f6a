"""Run the exports of many teams in one event loop; none of them can stop or spoil another."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from yarl import URL

from exporter import columns
from exporter.certify.pages import Page
from exporter.config.options import Settings
from exporter.crawl.threads import threads
from exporter.errors import ConfigError, ExportError
from exporter.events import Event, FromTeam, Noticed, TeamFailed, ignore
from exporter.export import Resources, export
from exporter.http.client import TIMER_RESOLUTION
from exporter.http.transport import connector
from exporter.http.wake_up import WakeUp
from exporter.progress.summary import Summary
from exporter.store import RowBudget
from exporter.store.finished import TEAMS
from exporter.store.layout import Layout, refuse_strangers
from exporter.teams.admission import Admission
from exporter.teams.summary import Outcome, TeamsSummary, write_list

DISK_THREADS = 4
"""Stores mostly wait for their disk to sync."""

FILES_A_TEAM = 8
"""Open files of one team at most: lock, spool, part, pace and their folders, and two connections."""
OTHER_FILES = 64


async def export_teams(
    out: Path, teams: Mapping[str, Settings], *, on_event: Callable[[Event], None] = ignore
) -> TeamsSummary:
    """Export each team to OUT/team=NAME, or resume it; what of one fails is in its outcome, never raised.

    OUT's `_teams.json` is replaced at the end, also when the run is stopped. Raise ConfigError if OUT can't be used.
    """
    began = time.monotonic()
    check_out(out)
    outcomes = {name: Outcome() for name in teams}
    try:
        async with _shared(teams) as resources, Admission() as admission:
            places = asyncio.Semaphore(_places(len(teams), on_event))
            run = _Run(out, outcomes, resources=resources, admission=admission, on_event=on_event)
            async with asyncio.TaskGroup() as tasks:
                for name, settings in teams.items():
                    tasks.create_task(run.team(name, settings, places))
    finally:
        write_list(out, outcomes)
    return TeamsSummary(out=str(out), outcomes=outcomes, elapsed_seconds=time.monotonic() - began)


def check_out(out: Path) -> None:
    """Make the folder that holds the teams; raise ConfigError if OUT is something else."""
    if out.suffix == ".parquet" or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out} is a file where a folder of teams is needed", hint="choose a folder as OUT")
    if Layout.of(out).manifest.exists():
        raise ConfigError(f"{out} holds the result of one team", hint="choose another OUT for several teams")
    try:
        out.mkdir(parents=True, exist_ok=True)
        strangers = [inside.name for inside in out.iterdir() if not inside.name.startswith(("team=", ".team=", TEAMS))]
    except OSError as error:
        raise ConfigError(f"{out} can't be used: {error.strerror}", hint="choose another OUT") from error
    refuse_strangers(out, strangers)


@asynccontextmanager
async def _shared(teams: Mapping[str, Settings]) -> AsyncIterator[Resources]:
    """Give what the teams share, and end it with them."""
    secure = next((one.base_url for one in teams.values() if one.base_url.startswith("https")), "http://")
    with threads(disk=DISK_THREADS) as pools:
        async with connector(URL(secure)) as connections:
            yield Resources(
                threads=pools,
                budget=RowBudget(),
                connector=connections,
                wake_up=WakeUp(early=TIMER_RESOLUTION),
                decoding=asyncio.Lock(),
            )


def _places(teams: int, on_event: Callable[[Event], None]) -> int:
    """Return how many teams may be open at once: all, or those that the process may have files for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = teams * FILES_A_TEAM + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        if soft < wanted:
            places = max(1, (soft - OTHER_FILES) // FILES_A_TEAM)
            at_once = f"{places} team{'s' * (places > 1)} at once"
            on_event(Noticed(message=f"{at_once}: `ulimit -n` allows {soft} open files, {wanted} are needed"))
            return places
    return teams


class _Run:
    """What the teams of one run have in common."""

    def __init__(
        self,
        out: Path,
        outcomes: dict[str, Outcome],
        *,
        resources: Resources,
        admission: Admission,
        on_event: Callable[[Event], None],
    ) -> None:
        self._out = out
        self._outcomes = outcomes
        self._resources = resources
        self._admission = admission
        self._on_event = on_event
        self._first_pages: dict[int, str] = {}

    async def team(self, name: str, settings: Settings, places: asyncio.Semaphore) -> None:
        """Export one team; keep what it came to."""
        async with places:
            try:
                summary = await self._export(name, settings)
            except Exception as error:  # noqa: BLE001  # a team's failure, of whatever kind, is its own
                self._outcomes[name] = outcome = Outcome(error=error)
            else:
                self._outcomes[name] = outcome = Outcome(summary=summary)
        if outcome.exit_code is not None:
            hint = outcome.error.hint if isinstance(outcome.error, ExportError) else None
            self._on_event(TeamFailed(team=name, message=outcome.message or "", hint=hint, exit_code=outcome.exit_code))

    async def _export(self, name: str, settings: Settings) -> Summary:
        admitted = False

        async def opened(page: Page | None, total: int | None) -> None:
            nonlocal admitted
            if page is not None and page.rows:
                self._compare(name, page)
            await self._admission.enter(total)
            admitted = True

        try:
            return await export(
                self._out / f"team={name}",
                settings,
                on_event=partial(self._emit, name),
                resources=self._resources,
                on_opened=opened,
            )
        finally:
            if admitted:
                self._admission.leave()

    def _emit(self, name: str, event: Event) -> None:
        if not isinstance(event, FromTeam | TeamFailed):
            self._on_event(FromTeam(team=name, event=event))

    def _compare(self, name: str, page: Page) -> None:
        """Warn of two names for one team: their first pages show the same orders."""
        other = self._first_pages.setdefault(columns.fingerprint(page.cells), name)
        if other != name:
            self._on_event(Noticed(message=f"teams {other} and {name} seem to be one: their first pages are the same"))
