"""Export teams in a worker of a Dask cluster: an event loop in a thread of its own serves all that the worker takes.

Dask gives a worker one task a team, and sees to those of a worker that is lost. A task waits until the event loop has
time for another team, and then secedes: the worker may be given the next one. So the number of teams at once is found
out, and the worker's own event loop, which sends its heartbeats, decodes nothing.

Only a worker, and who sends it work, imports this module: it needs `distributed`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from dask.typing import Key
from distributed import Worker, WorkerPlugin, get_worker, secede

from exporter.config.travel import Keyless
from exporter.crawl.threads import SWITCH_INTERVAL_OF_MANY, tune
from exporter.errors import ConfigError, ExportError, InUseError, OutputError
from exporter.events import FromTeam, Noticed
from exporter.export import summary_of
from exporter.progress.summary import Summary
from exporter.store.layout import Layout, published
from exporter.teams.admission import Admission, Intake
from exporter.teams.event_messages import Outbox
from exporter.teams.export import FILES_A_TEAM, OTHER_FILES, TeamExports, Work, places_in, raise_file_limit, shared
from exporter.teams.run_folder import RunFolder

SEND_EVERY = 0.25
"""Seconds between two messages of events."""
STOPPING = 1.5
"""Seconds in which exports that are stopped close their spools."""
LOCK_PATIENCE = 600.0
"""Seconds to wait for a team that another worker of this run still holds: one that was given up for lost, and isn't."""
LETTING_GO = 5.0
"""Seconds to wait for a team that another run holds: the workers of one that was just killed let go of theirs."""
LOCK_RETRY = 0.2

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a worker is sent for one team: everything but the key."""

    run: str
    team: str
    settings: Keyless


def export_team(job: Job) -> Summary | ExportError:
    """Export one team, in a thread of a Dask worker.

    An error of ours is a result: the same work elsewhere would end the same. Any other is raised, and Dask tries again.
    """
    exports = get_worker().plugins[job.run]
    assert isinstance(exports, WorkerExports)  # noqa: S101  # for the type checker: registered under this name
    return exports.export(job)


class WorkerExports(WorkerPlugin):
    """The exports of one run on one worker. Dask sets it up on each worker, also on those that come later."""

    def __init__(self, *, run: str, out: Path, teams: int, address: str, work: Work, own: bool) -> None:
        self.name = run
        self.version = version("duoplus-exporter")
        self._out = out
        self._teams = teams
        self._address = address
        self._work = work
        self._own = own
        """The worker is a process of ours, on the user's machine."""

    def setup(self, worker: Worker) -> None:
        """Start the event loop; raise ConfigError if this worker can't do what is asked."""
        if (installed := version("duoplus-exporter")) != self.version:
            raise ConfigError(
                f"{socket.gethostname()} has version {installed} of the exporter, not {self.version}",
                hint="install the same version where the workers run",
            )
        self._folder = RunFolder(self._out, self.name)
        if not self._folder.path.is_dir():
            raise ConfigError(
                f"{socket.gethostname()} does not see the same {self._out}",
                hint="choose an OUT on storage that all workers share, mounted at the same path",
            )
        if self._own:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; who started us stops us
        tune(SWITCH_INTERVAL_OF_MANY)
        self._worker = worker
        self._outbox = Outbox()
        self._running: dict[Key, Future[Any]] = {}
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = Thread(target=self._run, name="exports", daemon=True)
        self._thread.start()

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002  # Dask's signature
        """Stop what is running: what is committed stays, the locks are released."""
        with suppress(ExportError, RuntimeError):  # the loop has not begun, or has ended
            self._ready.result().call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, STOPPING)

    def transition(self, key: Key, start: str, finish: str, **_: Any) -> None:
        """Stop the export of a team that Dask wants no longer, because its run was stopped or is gone."""
        running = self._running.get(key)
        if running is not None and start in {"executing", "long-running"} and finish == "released":
            running.cancel()

    def export(self, job: Job) -> Summary | ExportError:
        """Export one team, in the thread of its task."""
        key = self._worker.get_current_task()
        try:
            loop = self._ready.result()
            self._do(key, self._intake.enter())
        except ExportError as error:
            return error
        try:
            secede()
            return self._export(key, job)
        except ExportError as error:
            return error
        finally:
            loop.call_soon_threadsafe(self._intake.leave)
            self._send()

    def _export(self, key: Key, job: Job) -> Summary:
        """Export a team; one that was begun in this run before is resumed."""
        began, first = time.monotonic(), self._folder.take(job.team)
        try:
            return self._do(key, self._export_when_free(job, first=first))
        except OutputError:
            # Its end is open, and the worker that was lost had finished it: run again, it would go further.
            out = self._out / f"team={job.team}"
            if first or not self._folder.has_finished(job.team) or (manifest := published(Layout.of(out))) is None:
                raise
            return summary_of(out, manifest, elapsed=time.monotonic() - began)

    async def _export_when_free(self, job: Job, *, first: bool) -> Summary:
        """Export a team, if need be once another worker of this run has let go of it."""
        loop = asyncio.get_running_loop()
        deadline, told = loop.time() + (LETTING_GO if first else LOCK_PATIENCE), first
        while True:
            settings = job.settings.with_key(os.environ, **self._changes(job.team, first=first))
            try:
                return await self._exports.export(job.team, settings, on_opened=partial(self._folder.begin, job.team))
            except InUseError as error:
                if loop.time() > deadline:
                    raise
                if not told:
                    told = True
                    self._outbox.put(FromTeam(team=job.team, event=Noticed(message=f"waits: {error}")))
                await asyncio.sleep(LOCK_RETRY)

    def _changes(self, team: str, *, first: bool) -> dict[str, bool]:
        """Return which settings hold no more for a team that another worker of this run had."""
        begun, finished = (not first and done(team) for done in (self._folder.has_begun, self._folder.has_finished))
        return ({"fresh": False} if begun else {}) | ({"overwrite": False} if finished else {})

    def _do(self, key: Key, work: Coroutine[Any, Any, Value]) -> Value:
        """Do something in the exports' event loop; it can be cancelled."""
        self._running[key] = future = asyncio.run_coroutine_threadsafe(work, self._ready.result())
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the export of this team was stopped") from None
        finally:
            self._running.pop(key, None)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        """Hold what the exports share until the worker, or the run, ends; then stop those that are under way."""
        self._stop = asyncio.Event()
        files = raise_file_limit(self._teams * FILES_A_TEAM + OTHER_FILES)
        async with shared(self._address) as resources, Admission() as admission:
            self._intake = Intake(admission, places=places_in(files))
            self._exports = TeamExports(
                self._out,
                resources=resources,
                admission=admission,
                on_event=self._outbox.put,
                on_first_page=self._send_first_page,
                work=self._work,
            )
            self._ready.set_result(asyncio.get_running_loop())
            while not self._stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), SEND_EVERY)
                self._send()
            others = asyncio.all_tasks() - {asyncio.current_task(), admission.task}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    def _send(self) -> None:
        if message := self._outbox.message():
            self._worker.log_event(self.name, {"events": message})

    def _send_first_page(self, team: str, fingerprint: str) -> None:
        self._worker.log_event(self.name, {"first_page": [team, fingerprint]})
