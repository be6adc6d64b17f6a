"""What one worker does with the teams that it takes, without Dask's processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import exporter.teams.worker as module
from exporter import columns
from exporter.config.options import Settings
from exporter.config.travel import Keyless, KeySource
from exporter.crawl.threads import InOrder
from exporter.errors import ConfigError, ExportError, OutputError
from exporter.events import Answered, Committed, FromTeam, Noticed, TeamFailed
from exporter.export import export, own_resources, query_of
from exporter.progress.summary import Summary
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.simulator.server import Simulator
from exporter.store import Store
from exporter.teams.admission import TICK, Admission, Intake
from exporter.teams.event_messages import Outbox, events_of
from exporter.teams.run_folder import RunFolder
from exporter.teams.worker import Job, WorkerExports
from tests.exporting import settings_for
from tests.virtual_time import run

RUN = "run"
ROWS = 300


class FakeWorker:
    """What an export asks of Dask's worker."""

    def __init__(self) -> None:
        self.plugins: dict[str, WorkerExports] = {}
        self.messages: list[dict[str, Any]] = []
        self.task = "task"

    def get_current_task(self) -> str:
        return self.task

    def log_event(self, topic: str, message: dict[str, Any]) -> None:
        assert topic == RUN
        self.messages.append(message)

    @property
    def told(self) -> list[str]:
        """The notices that were sent."""
        events = [event for one in self.messages for event in events_of(one.get("events", ()))]
        return [e.event.message for e in events if isinstance(e, FromTeam) and isinstance(e.event, Noticed)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_apart(SimulatorOptions(rows=ROWS)) as address:
        yield address


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeWorker]:
    """A worker that has been set up for a run."""
    fake = FakeWorker()
    monkeypatch.setattr(module, "get_worker", lambda: fake)
    monkeypatch.setattr(module, "secede", lambda: None)
    monkeypatch.setattr(module, "tune", lambda _: None)
    monkeypatch.setenv("KEY", "simulator")
    with RunFolder(tmp_path, RUN).made():
        fake.plugins[RUN] = exports = made(tmp_path)
        exports.setup(fake)  # type: ignore[arg-type]
        yield fake
        asyncio.run(exports.teardown(fake))  # type: ignore[arg-type]
        assert not exports._thread.is_alive()


def made(out: Path, **changes: Any) -> WorkerExports:
    given: dict[str, Any] = {"run": RUN, "out": out, "teams": 2, "address": "http://", "work": export, "own": False}
    return WorkerExports(**given | changes)


def job(url: str, team: str = "t", **changes: Any) -> Job:
    settings = settings_for(Simulator(SimulatorOptions(rows=ROWS)), base_url=url, **changes)
    return Job(run=RUN, team=team, settings=Keyless.of(settings, KeySource(variable="KEY")))


def test_a_team_that_is_taken_again_is_resumed_and_a_finished_one_stays(
    worker: FakeWorker, url: str, tmp_path: Path
) -> None:
    """`--overwrite` and `--fresh` hold for the first worker of a run; an open end does not go further for the next."""
    first = module.export_team(job(url, overwrite=True, fresh=True))
    assert isinstance(first, Summary)
    assert first.rows == ROWS
    again = module.export_team(job(url, overwrite=True, fresh=True))
    assert isinstance(again, Summary)
    assert (again.rows, again.requests) == (ROWS, 0)
    opened = job(url, "open", end=None, end_asked=None)
    assert isinstance(module.export_team(opened), Summary)
    resumed = module.export_team(opened)
    assert isinstance(resumed, Summary)
    assert (resumed.rows, resumed.requests) == (ROWS, 0)
    other_run = RunFolder(tmp_path, RUN)._taken("open")
    other_run.write_text(RunFolder(tmp_path, RUN)._result("open"))
    refused = module.export_team(opened)
    assert isinstance(refused, OutputError), "another run's result stays, too"
    assert "finished export" in str(refused)


def test_a_team_that_another_worker_still_holds_is_waited_for(
    worker: FakeWorker, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_RETRY", 0.01)
    monkeypatch.setattr(module, "LETTING_GO", 0.05)
    one = job(url)
    settings = settings_for(Simulator(SimulatorOptions(rows=ROWS)), base_url=url)
    held = asyncio.run(hold(tmp_path / "team=t", settings))
    refused = module.export_team(one)
    assert isinstance(refused, OutputError), "for another run the first worker does not wait long"
    assert "is in use by another export" in str(refused)
    results: list[Summary | ExportError] = []
    thread = Thread(target=lambda: results.append(module.export_team(one)))
    thread.start()
    while not any("waits: " in text for text in worker.told):
        assert thread.is_alive()
    held.close()
    thread.join()
    assert isinstance(results[0], Summary)
    assert len([text for text in worker.told if "waits: " in text]) == 1
    monkeypatch.setattr(module, "LOCK_PATIENCE", 0.0)
    RunFolder(tmp_path, RUN).take("u")
    held = asyncio.run(hold(tmp_path / "team=u", settings))
    assert isinstance(module.export_team(job(url, "u")), OutputError)
    held.close()


async def hold(out: Path, settings: Settings) -> Store:
    """Hold the lock of a team, as an export does that is stalled."""
    with own_resources() as resources:
        store = Store.open(
            out,
            query_of(settings),
            schema=columns.schema(timezone=settings.timezone, language=settings.language),
            whole=None,
            compression=settings.compression,
            parts_executor=InOrder(resources.threads.parts),
            budget=resources.budget,
        )
    assert isinstance(store, Store)
    return store


def test_a_key_that_is_not_there_is_the_teams_failure(
    worker: FakeWorker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY")
    failed = module.export_team(job(url))
    assert isinstance(failed, ConfigError)
    assert str(failed) == "there is no API key in the variable KEY"


async def endless(*_: Any, **__: Any) -> Any:
    await asyncio.Event().wait()


def test_an_export_that_dask_wants_no_longer_is_stopped(worker: FakeWorker, url: str, tmp_path: Path) -> None:
    exports = worker.plugins[RUN]
    exports._ready.result()
    exports._exports._work = endless
    failures: list[BaseException] = []

    def one() -> None:
        try:
            module.export_team(job(url))
        except RuntimeError as error:
            failures.append(error)

    thread = Thread(target=one)
    thread.start()
    while not RunFolder(tmp_path, RUN)._taken("t").exists() or "task" not in exports._running:
        assert thread.is_alive()
    exports.transition("other", "long-running", "released")
    exports.transition("task", "ready", "executing")
    exports.transition("task", "long-running", "released")
    thread.join(10)
    assert [str(error) for error in failures] == ["the export of this team was stopped"]


def test_a_worker_that_can_not_do_it_says_so_when_it_is_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: FakeWorker
) -> None:
    with pytest.raises(ConfigError, match=f"does not see the same {tmp_path}/elsewhere"):
        made(tmp_path / "elsewhere").setup(worker)  # type: ignore[arg-type]
    other = made(tmp_path)
    other.version = "0.0.1"
    with pytest.raises(ConfigError, match=r"has version .* of the exporter, not 0\.0\.1"):
        other.setup(worker)  # type: ignore[arg-type]


def test_what_keeps_the_exports_from_starting_is_every_teams_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: FakeWorker, url: str
) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "none.pem"))
    monkeypatch.setitem(worker.plugins, RUN, exports := made(tmp_path, address="https://", own=True))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    exports.setup(worker)  # type: ignore[arg-type]
    failed = module.export_team(job(url))
    assert isinstance(failed, ConfigError)
    assert "CURL_CA_BUNDLE names" in str(failed)
    asyncio.run(exports.teardown(worker))  # type: ignore[arg-type]


def test_events_travel_in_order_and_pages_are_counted_once() -> None:
    outbox = Outbox()

    def page(team: str, requests: int) -> FromTeam:
        return FromTeam(team=team, event=Answered(requests=requests, in_flight=1, latency=0.5))

    committed = FromTeam(team="a", event=Committed(start=0, stop=9, rows=3, total_rows=3))
    notice = Noticed(message="look")
    for event in (page("a", 1), page("a", 2), page("b", 1), notice, committed, page("a", 3), page("a", 4)):
        outbox.put(event)
    outbox.put(TeamFailed(team="a", message="", hint=None, exit_code=3))
    expected = [page("a", 2), page("b", 1), notice, committed, page("a", 4)]
    assert list(events_of(outbox.message())) == expected
    assert outbox.message() == []


def test_a_worker_takes_more_teams_each_tick_until_its_loop_is_late() -> None:
    taken: list[float] = []

    async def take(intake: Intake) -> None:
        await intake.enter()
        taken.append(asyncio.get_running_loop().time())

    async def main() -> list[int]:
        loop: Any = asyncio.get_running_loop()
        async with Admission() as admission:
            intake = Intake(admission, places=10)
            began = loop.time()
            tasks = [asyncio.create_task(take(intake)) for _ in range(12)]
            await asyncio.sleep(6 * TICK)
            assert len(taken) == 10, "there are no more places"
            ticks = [round((at - began) / TICK) for at in taken]
            admission._late = 1.0
            intake.leave()
            await asyncio.sleep(TICK / 2)
            assert len(taken) <= 11
            tasks[-1].cancel()
            await asyncio.sleep(TICK)
            for task in tasks:
                task.cancel()
        return ticks

    assert run(main()) == [0, 0, 1, 1, 2, 2, 2, 2, 3, 3]
