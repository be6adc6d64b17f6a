"""Share the exports of many teams among the workers of a Dask cluster: a task a team, its events to one place.

Dask decides which worker gets a team, and gives it to another one if that is lost; what is committed is on storage that
all share. No key leaves this process: a worker reads it from its own environment or disk.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.config.cluster import Cluster
from exporter.config.travel import Keyless
from exporter.errors import ApiError, ConfigError, ExportError
from exporter.events import Event, Noticed, ignore
from exporter.export import export
from exporter.progress.summary import Summary
from exporter.progress.text import counted
from exporter.teams.dask_client import INSTALL, connected
from exporter.teams.event_messages import events_of
from exporter.teams.export import FirstPages, Work, check_out, first_secure
from exporter.teams.run_folder import RunFolder
from exporter.teams.summary import Outcome, TeamsSummary, write_list

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2
"""How often Dask tries a team again whose work raised what no error of ours explains."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether there is a worker."""
NO_WORKER = 60.0
"""Seconds that teams wait for a worker where there is none any more."""
STOPPING = 1.0
"""Seconds in which the workers are told to stop."""


async def export_on_cluster(
    out: Path,
    teams: Mapping[str, Keyless],
    cluster: Cluster,
    *,
    on_event: Callable[[Event], None] = ignore,
    work: Work = export,
) -> TeamsSummary:
    """Do what `export_teams` does, by the workers of a cluster; `work` is what they do for each team.

    Raise ConfigError if OUT or the cluster can't be used, ApiError if the cluster can't be reached or is lost.
    """
    began = time.monotonic()
    check_out(out)
    shared_out = out.absolute()  # noqa: ASYNC240  # where we are is no question to the disk
    outcomes = {name: Outcome() for name in teams}
    run = f"exporter-{uuid.uuid4().hex[:12]}"
    try:
        async with connected(cluster) as client:
            with RunFolder(shared_out, run).made():
                shared = _Shared(client, run, outcomes, on_event)
                async with shared.set_up(shared_out, teams, work=work, own=cluster.scheduler is None):
                    await shared.export(teams)
    finally:
        write_list(out, outcomes)
    return TeamsSummary(out=str(out), outcomes=outcomes, elapsed_seconds=time.monotonic() - began)


class _Shared:
    """One run on the workers of a cluster."""

    def __init__(
        self, client: Client, run: str, outcomes: dict[str, Outcome], on_event: Callable[[Event], None]
    ) -> None:
        self._client = client
        self._run = run
        self._outcomes = outcomes
        self._on_event = on_event
        self._first_pages = FirstPages(on_event)
        self._ended: set[str] = set()

    @asynccontextmanager
    async def set_up(self, out: Path, teams: Mapping[str, Keyless], *, work: Work, own: bool) -> AsyncIterator[None]:
        """Prepare all workers, those that come later too; stop what they still do at the end."""
        from exporter.teams.worker import WorkerExports  # noqa: PLC0415  # it needs Dask

        secure = first_secure(str(team.values["base_url"]) for team in teams.values())
        exports = WorkerExports(run=self._run, out=out, teams=len(teams), address=secure, work=work, own=own)
        self._client.subscribe_topic(self._run, self._take)
        self._client.subscribe_topic("all", self._take_change)
        try:
            try:
                await self._client.register_plugin(exports)
            except ExportError:
                raise
            except ImportError as error:
                hint = f"install it where the workers run: {INSTALL}"
                raise ConfigError(f"a worker has no exporter: {error}", hint=hint) from error
            yield
        finally:
            with suppress(Exception):  # a cluster that is gone has stopped
                await asyncio.wait_for(self._client.unregister_worker_plugin(self._run), STOPPING)

    async def export(self, teams: Mapping[str, Keyless]) -> None:
        """Export all teams; keep what each came to."""
        from distributed import as_completed  # noqa: PLC0415  # an extra

        from exporter.teams.worker import Job, export_team  # noqa: PLC0415  # it needs Dask

        watch = asyncio.create_task(self._watch())
        waiting: dict[Future[Any], str] = {}
        for name, settings in teams.items():
            job = Job(run=self._run, team=name, settings=settings)
            future = self._client.submit(export_team, job, key=f"{self._run}-{name}", pure=False, retries=RETRIES)
            waiting[future] = name
        gathering = asyncio.create_task(self._gather(as_completed(list(waiting), loop=self._client.loop), waiting))
        try:
            await asyncio.wait({watch, gathering}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            await gathering
        finally:
            for task in (watch, gathering):
                task.cancel()
            await asyncio.gather(watch, gathering, return_exceptions=True)
            if waiting:
                with suppress(Exception):  # a cluster that is gone has stopped
                    await asyncio.wait_for(self._client.cancel(list(waiting)), STOPPING)

    async def _gather(self, futures: Any, waiting: dict[Future[Any], str]) -> None:
        async for future in futures:
            name = waiting[future]
            outcome = await self._outcome(name, future)
            del waiting[future]
            future.release()  # a result that is held would be made again if its worker were lost
            self._ended.add(name)
            self._outcomes[name] = outcome
            if failure := outcome.failure(name):
                self._on_event(failure)

    async def _outcome(self, name: str, future: Future[Any]) -> Outcome:
        """Return what a team's task came to.

        The cases:
        - its figures, or an error of ours
        - Dask gave it up: each worker that had it was lost
        - Dask forgot it: the scheduler was lost, or its connection
        - anything else is a bug, and was tried again
        """
        from distributed import CancelledError, KilledWorker  # noqa: PLC0415  # an extra

        try:
            came: Summary | ExportError = await future.result()
        except KilledWorker as error:
            lost = ApiError(
                f"{counted(int(error.allowed_failures) + 1, 'worker')} were lost while they exported team {name}",
                hint="look at the workers' logs: mostly memory is short; the same command resumes",
            )
            return Outcome(error=lost)
        except CancelledError as error:
            raise ApiError(
                "the connection to the Dask scheduler was lost",
                hint="what is certified is kept; see that it runs, and run the same command again",
            ) from error
        except Exception as error:  # noqa: BLE001  # a team's failure, of whatever kind, is its own
            return Outcome(error=error)
        return Outcome(error=came) if isinstance(came, ExportError) else Outcome(summary=came)

    def _take(self, message: tuple[float, Mapping[str, Any]]) -> None:
        """Take what a worker reports."""
        content = message[1]
        if "first_page" in content:
            self._first_pages.compare(*content["first_page"])
        for event in events_of(content.get("events", ())):
            if getattr(event, "team", None) not in self._ended:
                self._on_event(event)

    def _take_change(self, message: tuple[float, Mapping[str, Any]]) -> None:
        """Report a worker that was lost with teams of this run."""
        content = message[1]
        if content.get("action") == "remove-worker":
            ours = [key for key in content.get("processing-tasks", ()) if str(key).startswith(f"{self._run}-")]
            if ours:
                text = f"worker {content.get('worker')} is gone: others take up its {counted(len(ours), 'team')}"
                self._on_event(Noticed(message=text))

    async def _watch(self) -> None:
        """Raise ApiError where no worker has been for a while."""
        since = time.monotonic()
        while True:
            with suppress(OSError, TimeoutError):  # a scheduler that is lost is found out by its futures
                if await self._client.nthreads():
                    since = time.monotonic()
                elif time.monotonic() - since > NO_WORKER:
                    raise ApiError(
                        f"the Dask cluster has had no worker for {NO_WORKER:g} s",
                        hint="what is certified is kept; start workers, and run the same command again",
                    )
            await asyncio.sleep(LOOK_EVERY)
