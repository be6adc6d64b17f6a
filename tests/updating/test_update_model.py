"""Random worlds with random histories: after each update the result is the world, whatever was done in between.

Statuses go forward, orders are made, come late or vanish, updates are killed at any request. Where pages show all
orders of a status, orders come late and vanish between the same two updates, too; elsewhere these may balance.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.options import Settings
from exporter.export import export
from exporter.http.client import ClientStatistics
from exporter.progress.summary import Summary
from exporter.simulator.in_process import InProcessClient
from exporter.simulator.world import World
from exporter.store.disk import Disk
from exporter.store.verify import verify
from exporter.updating import update
from exporter.vendor.orders import PageRequest, PageResponse, Record, wire_time
from exporter.vendor.secret import Secret
from tests.exporting import held
from tests.updating.worlds import Clock, without_countdown

BEGIN = 1_770_000_000
FRESH = 300
"""Seconds before the server's present that are not covered yet."""


class Killed(Exception):  # noqa: N818 - no error: the update was killed
    """An update ends in the middle."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens between two updates, and when the later one is killed."""

    made: int
    changes: int
    come_and_go: str
    """Whether a `number` of orders come `late`, are `deleted`, or `both`."""
    number: int
    killed_at: tuple[int, ...]
    more_changes: int
    """Statuses that go forward after each kill."""


def steps(*come_and_go: str) -> st.SearchStrategy[Step]:
    return st.builds(
        Step,
        made=st.integers(0, 12),
        changes=st.sampled_from([0, 1, 2, 5, 40]),
        come_and_go=st.sampled_from(come_and_go),
        number=st.sampled_from([0, 0, 1, 3]),
        killed_at=st.lists(st.integers(0, 40), max_size=2).map(tuple),
        more_changes=st.sampled_from([0, 0, 2]),
    )


class Server:
    """A world in memory, asked without HTTP; `left` requests are answered before the export is killed."""

    def __init__(self, orders: int, seconds: int, seed: int) -> None:
        self.clock = Clock(BEGIN + seconds + FRESH)
        moments = [(BEGIN + number * 7919 % seconds) * 1000 for number in range(orders)]
        columns = World.at(moments, now=self.clock.now, seed=seed).columns
        self.world = World(columns, clock=self.clock, seed=seed)
        self.left: int | None = None

    @property
    def is_crowded(self) -> bool:
        """Whether some second has several orders: pages as small as these then cost more, wherever a span begins."""
        seconds = [moment // 1000 for moment in self.world.columns.moments]
        return len(seconds) > len(set(seconds))

    def client(self, *_: object, **__: object) -> Client:
        return Client(self)

    def pass_time(self, step: Step) -> None:
        late, deletions = (step.number * (step.come_and_go in {kind, "both"}) for kind in ("late", "deleted"))
        self.world.pass_time(changes=step.changes, late=late, deletions=deletions)
        begin, self.clock.now = int(self.clock.now) - FRESH + 1, self.clock.now + 1_000
        for number in range(step.made if len(self.world.columns) else 0):
            self.world.insert((begin + number * 61) * 1000)


class Client:
    """What an export takes for its client."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client = InProcessClient(server.world)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def ask(self, request: PageRequest, **options: bool) -> PageResponse:
        if self._server.left is not None:
            if not self._server.left:
                self._server.left = None
                raise Killed
            self._server.left -= 1
        return await self._client.ask(request, **options)

    @property
    def statistics(self) -> ClientStatistics:
        sent = len(self._client.requests)
        return ClientStatistics(
            requests=sent,
            responses=sent,
            retries=0,
            rate_limited=0,
            in_flight=0,
            concurrency=1,
            latency=0.0,
            margin=0.0,
            sending_seconds=0.0,
        )


_perform = Disk.perform


def unsynced(self: Disk, name: str, path: Path, action: Callable[..., Any], *arguments: Any) -> Any:
    """Do what a disk does, but for what makes it last: no power is cut here."""
    return None if name in {"sync", "sync_folder"} else _perform(self, name, path, action, *arguments)


@contextmanager
def without_network(server: Server) -> Iterator[Path]:
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("exporter.export.Client", server.client),
        patch("exporter.export.HttpTransport", lambda *_, **__: None),
        patch.object(Disk, "perform", unsynced),
    ):
        yield Path(folder)


def made(page_size: int, segment_pages: int) -> Settings:
    return Settings(
        api_key=Secret("key"),
        base_url="http://127.0.0.1",
        start=BEGIN - 10,
        end=None,
        start_asked=wire_time(BEGIN - 10),
        end_asked=None,
        page_size=page_size,
        segment_pages=segment_pages,
    )


def drive(do: Callable[..., Any], out: Path, asked: Settings) -> Summary | None:
    """Export or update; None if it was killed."""
    try:
        summary: Summary = asyncio.run(do(out, asked))
    except Killed:
        return None
    return summary


def as_texts(records: list[Record]) -> Counter[bytes]:
    return Counter(orjson.dumps(record) for record in without_countdown(records))


histories = {
    "orders": st.integers(12, 60),
    "seconds": st.sampled_from([20, 300, 5_000]),
    "seed": st.integers(0, 2**32),
    "segment_pages": st.integers(2, 5),
}
EXAMPLES = settings(max_examples=max(20, settings().max_examples // 4))
"""A few seconds in each run of the suite; `make test-deep` takes many more."""


@EXAMPLES
@given(**histories, page_size=st.integers(2, 6), history=st.lists(steps("late", "deleted"), min_size=1, max_size=3))
def test_after_each_update_the_result_is_the_world(
    orders: int, seconds: int, seed: int, segment_pages: int, page_size: int, history: list[Step]
) -> None:
    live(Server(orders, seconds, seed), made(page_size, segment_pages), history)


@EXAMPLES
@given(**histories, history=st.lists(steps("both"), min_size=1, max_size=3))
def test_where_a_page_shows_all_of_a_status_nothing_balances(
    orders: int, seconds: int, seed: int, segment_pages: int, history: list[Step]
) -> None:
    live(Server(orders, seconds, seed), made(200, segment_pages), history)


def live(server: Server, asked: Settings, history: list[Step]) -> None:
    """Export, then update after each step, and hold each result against the world."""
    with without_network(server) as folder:
        out = folder / "orders"
        assert drive(export, out, asked)
        for step in history:
            server.pass_time(step)
            summary = None
            for kill in step.killed_at:
                server.left = kill
                if (summary := drive(update, out, asked)) is not None:
                    break
                verify(out)
                server.world.pass_time(changes=step.more_changes)
            server.left = None
            summary = summary or drive(update, out, asked)
            assert summary is not None
            assert summary.complete
            span = verify(out).whole
            covered = {"created_at_start": wire_time(span.start), "created_at_end": wire_time(span.stop - 1)}
            assert as_texts(held(out)) == as_texts(server.world.oracle(covered))
            assert not list(folder.glob(".*")), "no work is left"
            if not (step.killed_at or server.is_crowded):
                full = drive(export, folder / "new", asked)
                assert full is not None
                assert summary.requests <= 1.1 * full.requests + 20
                shutil.rmtree(folder / "new")
