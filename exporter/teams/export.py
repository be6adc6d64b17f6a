"""Run the exports of many teams in one event loop; none of them can stop or spoil another."""

from __future__ import annotations

import asyncio
import math
import os
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from yarl import URL

from exporter import columns
from exporter.certify.pages import Page
from exporter.config.options import Settings
from exporter.crawl.engine import Opened
from exporter.crawl.threads import threads
from exporter.errors import ConfigError
from exporter.events import Event, FromTeam, Noticed, TeamFailed, ignore
from exporter.export import Resources, export
from exporter.http.client import TIMER_RESOLUTION
from exporter.http.transport import connector
from exporter.http.wake_up import WakeUp
from exporter.progress.summary import Summary
from exporter.progress.text import counted
from exporter.store import RowBudget
from exporter.store.finished import TEAMS
from exporter.store.layout import Layout, check_name, refuse_strangers, unusable
from exporter.teams.admission import Admission
from exporter.teams.summary import Outcome, TeamsSummary, write_list

DISK_THREADS = 4
"""Stores mostly wait for their disk to sync."""

FILES_A_TEAM = 8
"""Open files of one team at most: lock, spool, part, pace and their folders, and two connections."""
OTHER_FILES = 64
MOST_FILES = 2**20
"""Where the system sets no limit."""


async def export_teams(
    out: Path,
    teams: Mapping[str, Settings],
    *,
    on_event: Callable[[Event], None] = ignore,
    work: Work | None = None,
) -> TeamsSummary:
    """Export each team to OUT/team=NAME, or resume it; what of one fails is in its outcome, never raised.

    `work` is what is done for each team instead of an export.
    OUT's `_teams.json` is replaced at the end, also when the run is stopped. Raise ConfigError if OUT can't be used.
    """
    began = time.monotonic()
    check_out(out)
    outcomes = {name: Outcome() for name in teams}
    try:
        async with shared(first_secure(one.base_url for one in teams.values())) as resources, Admission() as admission:
            places = asyncio.Semaphore(_places(len(teams), on_event))
            exports = TeamExports(
                out,
                resources=resources,
                admission=admission,
                on_event=on_event,
                on_first_page=FirstPages(on_event).compare,
                work=work or export,
            )

            async def one(name: str, settings: Settings) -> None:
                async with places:
                    try:
                        outcomes[name] = Outcome(summary=await exports.export(name, settings))
                    except Exception as error:  # noqa: BLE001  # a team's failure, of whatever kind, is its own
                        outcomes[name] = Outcome(error=error)
                if failure := outcomes[name].failure(name):
                    on_event(failure)

            async with asyncio.TaskGroup() as tasks:
                for name, settings in teams.items():
                    tasks.create_task(one(name, settings))
    finally:
        write_list(out, outcomes)
    return TeamsSummary(out=str(out), outcomes=outcomes, elapsed_seconds=time.monotonic() - began)


def check_out(out: Path) -> None:
    """Make the folder that holds the teams; raise ConfigError if OUT is something else."""
    check_name(out)
    layout = Layout.of(out)
    with unusable(out):
        if layout.is_file or (out.exists() and not out.is_dir()):
            raise ConfigError(f"{out} is a file where a folder of teams is needed", hint="choose a folder as OUT")
        if layout.manifest.exists():
            raise ConfigError(f"{out} holds the result of one team", hint="choose another OUT for several teams")
        out.mkdir(parents=True, exist_ok=True)
        strangers = [inside.name for inside in out.iterdir() if not inside.name.startswith(("team=", ".team=", TEAMS))]
        if not os.access(out, os.W_OK | os.X_OK):
            raise ConfigError(f"nothing may be written to {out}", hint="make it writable, or choose another OUT")
    refuse_strangers(out, strangers)


def first_secure(addresses: Iterable[str]) -> str:
    """Return an address that needs TLS, if any team's does: all share one connector."""
    return next((one for one in addresses if one.startswith("https")), "http://")


@asynccontextmanager
async def shared(address: str) -> AsyncIterator[Resources]:
    """Give what the exports of one process share, and end it with them; `address` is what `first_secure` returned."""
    with threads(disk=DISK_THREADS) as pools:
        async with connector(URL(address)) as connections:
            yield Resources(
                threads=pools,
                budget=RowBudget(),
                connector=connections,
                wake_up=WakeUp(early=TIMER_RESOLUTION),
                decoding=asyncio.Lock(),
            )


def _places(teams: int, on_event: Callable[[Event], None]) -> int:
    """Return how many teams may be open at once: all, or those that the process may have files for."""
    wanted = teams * FILES_A_TEAM + OTHER_FILES
    allowed = raise_file_limit(wanted)
    if allowed >= wanted:
        return teams
    places = places_in(allowed)
    on_event(
        Noticed(
            message=f"{counted(places, 'team')} at once: `ulimit -n` allows {allowed} open files, {wanted} are needed"
        )
    )
    return places


def raise_file_limit(wanted: int) -> float:
    """Let the process have this many open files, if the system permits; return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return math.inf
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if raised > soft:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            return raised
    return soft


def places_in(files: float) -> int:
    """Return how many teams that many open files are enough for, at least 1."""
    return max(1, int((min(files, MOST_FILES) - OTHER_FILES) // FILES_A_TEAM))


class FirstPages:
    """Warn of two names for one team: their first pages show the same orders."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._seen: dict[str, str] = {}

    def compare(self, name: str, fingerprint: str) -> None:
        """Take the fingerprint of a team's first page."""
        other = self._seen.setdefault(fingerprint, name)
        if other != name:
            self._on_event(Noticed(message=f"teams {other} and {name} seem to be one: their first pages are the same"))


class Work(Protocol):
    """What is done for each team: an export, or anything else that opens the team's result and asks for orders."""

    def __call__(
        self,
        out: Path,
        settings: Settings,
        /,
        *,
        on_event: Callable[[Event], None],
        resources: Resources,
        on_opened: Opened,
    ) -> Awaitable[Summary]:
        """Return the figures of one team; raise an ExportError."""
        ...


class TeamExports:
    """The exports of the teams of one process: what they have in common."""

    def __init__(
        self,
        out: Path,
        *,
        resources: Resources,
        admission: Admission,
        on_event: Callable[[Event], None],
        on_first_page: Callable[[str, str], None],
        work: Work = export,
    ) -> None:
        self._out = out
        self._resources = resources
        self._admission = admission
        self._on_event = on_event
        self._on_first_page = on_first_page
        self._work = work

    async def export(self, name: str, settings: Settings, *, on_opened: Callable[[], None] = lambda: None) -> Summary:
        """Export one team; `on_opened` is called after its first response. Raise whatever stops it."""
        admitted = False

        async def opened(page: Page | None, total: int | None) -> None:
            nonlocal admitted
            if admitted:
                return
            on_opened()
            if page is not None and page.rows:
                self._on_first_page(name, columns.fingerprint(page.cells))
            await self._admission.enter(total)
            admitted = True

        try:
            return await self._work(
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
