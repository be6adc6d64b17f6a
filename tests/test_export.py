"""Whole exports over HTTP: from the simulator's socket to the files on disk."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exporter.crawl.threads import threads
from exporter.errors import ApiError, CertificateError, ExportError, OutputError, UnauthorizedError
from exporter.events import Event, Repaired
from exporter.export import Resources, export
from exporter.simulator.faults import Faults
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.quirks import Quirks
from exporter.simulator.server import Simulator, serving
from exporter.simulator.world import World
from exporter.store import Manifest, RowBudget, Store
from exporter.store.lock import is_held
from exporter.streaming import stream
from exporter.vendor.orders import Filters
from tests.exporting import assert_exact, digests, files_below, held, identities, rows, settings_for

ROWS = 3_000
SMALL = {"page_size": 50, "segment_pages": 5}
"""Pages and segments so small that a few thousand orders make many of both."""


async def test_each_order_is_there_once_and_in_order(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=12_000)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator))
        assert summary.complete
        assert summary.final_check
        assert summary.totals == "exact"
        assert summary.rows == 12_000
        assert summary.requests == simulator.statistics.requests <= math.ceil(12_000 / 500) * 1.01 + 6
        assert_exact(tmp_path / "orders", simulator)
    table = rows(tmp_path / "orders")
    assert table.sort_by([("created_at", "ascending"), ("order_id", "ascending")]).equals(table)


async def test_nothing_matches_and_that_is_a_result(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=0)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator))
    assert (summary.complete, summary.rows, summary.parts) == (True, 0, 1)
    assert rows(tmp_path / "orders").num_rows == 0


async def test_an_open_end_is_the_servers_present_less_the_settle_time(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        last = simulator.options.span()[1]
        summary = await export(tmp_path / "orders", settings_for(simulator, end=None, end_asked=None))
        assert_exact(tmp_path / "orders", simulator)
    assert summary.end == "2026-01-01T00:00:00+08:00"
    assert json.loads((tmp_path / "orders" / "_manifest.json").read_bytes())["range"]["stop"]
    assert simulator.options.now() == last + 300


@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(shuffled_ties=True),
        Quirks(sort="descending"),
        Quirks(sort="total"),
        Quirks(page_echo="wrong"),
        Quirks(max_page_size=20),
        Quirks(max_page_size=20, page_size_echo="asked"),
        Quirks(page_size=80),
        Quirks(totals="text"),
        Quirks(totals="missing"),
        Quirks(totals="short"),
        Quirks(total_cap=200),
        Quirks(total_cap=1000),
        Quirks(depth_cap=150),
        Quirks(depth_cap=150, beyond_depth="empty"),
        Quirks(past_end="refuse"),
        Quirks(past_end="repeat"),
        Quirks(nothing="null"),
        Quirks(open_start=True),
        Quirks(open_end=True),
        Quirks(open_start=True, open_end=True),
        Quirks(hidden_fractions=True),
        Quirks(max_range_days=90),
    ],
    ids=repr,
)
async def test_a_surprise_is_met_by_a_way_that_does_not_need_the_thing(tmp_path: Path, quirks: Quirks) -> None:
    async with serving(SimulatorOptions(rows=600, ties=4, quirks=quirks)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator, **SMALL))
        assert summary.complete
        assert_exact(tmp_path / "orders", simulator)


@pytest.mark.parametrize(
    ("quirks", "words"),
    [
        (Quirks(totals="long"), "total"),
        (Quirks(ignored_range=1.0), "asked for"),
    ],
    ids=repr,
)
async def test_what_has_no_way_around_is_named_and_leaves_no_result(tmp_path: Path, quirks: Quirks, words: str) -> None:
    async with serving(SimulatorOptions(rows=6000, quirks=quirks)) as simulator:
        with pytest.raises(CertificateError, match=words) as caught:
            await export(tmp_path / "orders", settings_for(simulator, **SMALL))
    assert caught.value.hint
    assert not (tmp_path / "orders").exists()


async def test_allow_uncertified_writes_what_there_is_and_names_the_rest(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=600, quirks=Quirks(totals="long"))) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator, **SMALL, allow_uncertified=True))
        truth = identities(simulator.world.oracle())
    assert not summary.complete
    assert summary.uncertified
    assert not identities(held(tmp_path / "orders")) - truth
    manifest = json.loads((tmp_path / "orders" / "_manifest.json").read_bytes())
    assert not manifest["run"]["complete"]
    assert manifest["missing"]


async def test_late_and_vanished_orders_end_in_the_servers_total(tmp_path: Path) -> None:
    events: list[Event] = []
    quirks = Quirks(inserts=(9, 30, 58, 61), deletions=(17, 60), changes=(12, 50))
    async with serving(SimulatorOptions(rows=ROWS, quirks=quirks)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator, **SMALL), on_event=events.append)
        truth, drifted = identities(simulator.world.oracle()), identities(simulator.world.drifted)
    found = identities(held(tmp_path / "orders"))
    assert summary.final_check
    assert not truth - found - drifted
    assert not found - truth - drifted
    assert found.total() == truth.total()
    assert summary.repaired_segments == sum(isinstance(event, Repaired) for event in events) > 0


async def test_faults_of_all_kinds_cost_requests_but_no_order(tmp_path: Path) -> None:
    kinds = dataclasses.replace(Faults.of_all_kinds(0.15), stall_seconds=0.2, slow_seconds=0.1)
    async with serving(SimulatorOptions(rows=20_000, faults=kinds)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator, timeout=0.15))
        assert simulator.statistics.faults
        assert_exact(tmp_path / "orders", simulator)
    assert summary.requests <= 1.3 * 20_000 / 500 + 2  # a silence, and the last total once more


async def test_windows_change_requests_but_not_a_byte(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        one = await export(tmp_path / "one", settings_for(simulator, **SMALL, windows=1))
        four = await export(tmp_path / "four", settings_for(simulator, **SMALL, windows=4))
    assert (one.windows, four.windows) == (1, 4)
    assert digests(tmp_path / "one") == digests(tmp_path / "four")


async def test_a_distant_fast_server_gets_more_windows(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=100_000, latency=0.05)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator, page_size=50, segment_pages=5))
    assert summary.windows > 1
    assert summary.requests <= math.ceil(100_000 / 50) * 1.01 + 6


async def stop_after(requests: int, simulator: Simulator, out: Path, **options: Any) -> None:
    """Run an export and cancel it after a number of requests."""
    task = asyncio.create_task(export(out, settings_for(simulator, **SMALL, **options)))
    (team,) = simulator.teams.values()
    decide, left = team.decide, requests

    def counting(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            task.cancel()
        return decide(*arguments)

    team.decide = counting  # type: ignore[assignment,method-assign]
    with pytest.raises(asyncio.CancelledError):
        await task
    team.decide = decide  # type: ignore[method-assign]


async def test_a_stopped_export_goes_on_where_it_was_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        calm = await export(tmp_path / "calm", settings_for(simulator, **SMALL))
        sent = simulator.statistics.requests
        for requests in (20, 20, 20):
            await stop_after(requests, simulator, tmp_path / "stopped")
        summary = await export(tmp_path / "stopped", settings_for(simulator, **SMALL))
        asked_again = simulator.statistics.requests - sent - calm.requests
    assert summary.rows == ROWS
    assert summary.requests < calm.requests
    assert asked_again <= 3 * (2 * 5 + 4)
    assert digests(tmp_path / "calm") == digests(tmp_path / "stopped")


async def test_an_open_end_stays_that_of_the_first_start(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        await stop_after(30, simulator, tmp_path / "orders", end=None, end_asked=None)
        world = simulator.world
        simulator.world = World(world.columns, clock=lambda: simulator.options.now() + 86_400)
        summary = await export(tmp_path / "orders", settings_for(simulator, **SMALL, end=None, end_asked=None))
    assert summary.end == "2026-01-01T00:00:00+08:00"


async def test_another_teams_key_is_told_and_nothing_is_mixed(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        await stop_after(30, simulator, tmp_path / "orders")
        simulator.world = World.of(dataclasses.replace(simulator.options, seed=2))
        with pytest.raises(OutputError, match="another team"):
            await export(tmp_path / "orders", settings_for(simulator, **SMALL))


async def test_orders_that_all_changed_their_status_since_are_still_those_of_the_team(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        finished = {"filters": Filters(status=(5,))}
        await stop_after(20, simulator, tmp_path / "orders", **finished)
        refunded = simulator.world.oracle()
        for record in refunded:
            record["status"] = "Refunded" if record["status"] == "Finished" else record["status"]
        simulator.world = World.holding(refunded, now=simulator.options.now())
        before = simulator.statistics.requests
        summary = await export(tmp_path / "orders", settings_for(simulator, **SMALL, **finished, final_check=False))
    assert summary.rows > 0
    assert simulator.statistics.requests - before < 20


async def test_a_filter_leaves_another_teams_key_no_less_another_teams(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        finished = {"filters": Filters(status=(5,))}
        await stop_after(20, simulator, tmp_path / "orders", **finished)
        simulator.world = World.of(dataclasses.replace(simulator.options, seed=2))
        with pytest.raises(OutputError, match="another team"):
            await export(tmp_path / "orders", settings_for(simulator, **SMALL, **finished))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("ignored", "filters"),
    [
        ("status", Filters(status=(3,), type=(2,))),
        ("type", Filters(type=(2,), status=(3,))),
        ("order_id", Filters(order_id="DP-that-is-none")),
    ],
)
async def test_a_filter_that_the_server_ignores_ends_the_export_and_names_an_order(
    tmp_path: Path, ignored: str, filters: Filters, language: str
) -> None:
    async with serving(SimulatorOptions(rows=300, quirks=Quirks(ignored_filters=(ignored,)))) as simulator:
        numbers = {record["order_id"] for record in simulator.world.oracle()}
        with pytest.raises(CertificateError, match="came with page") as caught:
            await export(tmp_path / "orders", settings_for(simulator, filters=filters, language=language))
    assert str(caught.value).split("'")[1] in numbers
    assert ("number" if ignored == "order_id" else ignored) in str(caught.value)
    assert not (tmp_path / "orders").exists()


@pytest.mark.parametrize("language", ["en", "zh", "zh-TW", "ru"])
async def test_filters_that_are_kept_to_pass_in_any_language(tmp_path: Path, language: str) -> None:
    filters = Filters(status=(3, 5), type=(1, 2))
    async with serving(SimulatorOptions(rows=600)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator, filters=filters, language=language))
        matching = simulator.world.oracle({"status": [3, 5], "type": [1, 2]})
    assert summary.rows == len(matching) > 0


async def test_a_total_that_comes_as_text_is_used_like_any_other(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS, quirks=Quirks(totals="text"))) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator))
        assert_exact(tmp_path / "orders", simulator)
    assert (summary.totals, summary.final_check) == ("exact", True)
    assert summary.requests <= math.ceil(ROWS / 500) * 1.01 + 6


async def test_a_key_revoked_on_the_way_stops_cleanly_and_the_new_key_goes_on(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        old = settings_for(simulator, **SMALL)
        (team,) = simulator.teams.values()
        decide, left = team.decide, 40

        def revoking(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                simulator.teams = {"rotated": team}
            return decide(*arguments)

        team.decide = revoking  # type: ignore[assignment,method-assign]
        with pytest.raises(UnauthorizedError):
            await export(tmp_path / "orders", old)
        before = simulator.statistics.requests
        summary = await export(tmp_path / "orders", settings_for(simulator, api_key="rotated", **SMALL))
        assert_exact(tmp_path / "orders", simulator)
    assert summary.requests == simulator.statistics.requests - before < 60


async def test_a_server_that_fails_for_good_leaves_what_is_committed(tmp_path: Path) -> None:
    script = ("none",) * 30 + ("server_error",) * 1000
    async with serving(SimulatorOptions(rows=ROWS, faults=Faults(script=script))) as simulator:
        with pytest.raises(ApiError):
            await export(tmp_path / "orders", settings_for(simulator, **SMALL, max_attempts=1, patience=0.0))
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        moved = settings_for(simulator, **SMALL)
        with pytest.raises(OutputError, match="base_url"):
            await export(tmp_path / "orders", moved)


async def test_strict_values_refuse_what_does_not_parse(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=100)) as simulator:
        records = simulator.world.oracle()
        records[3]["total"] = "free"
        simulator.world = World.holding(records, now=simulator.options.now())
        lenient = await export(tmp_path / "lenient", settings_for(simulator))
        with pytest.raises(CertificateError, match="free"):
            await export(tmp_path / "strict", settings_for(simulator, strict_values=True))
        assert_exact(tmp_path / "lenient", simulator)
    assert lenient.values_in_extra > 0


async def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=100, key="secret-key-0815")) as simulator:
        await stop_after(2, simulator, tmp_path / "stopped")
        await export(tmp_path / "orders", settings_for(simulator))
    assert not [file for file in files_below(tmp_path) if b"secret-key-0815" in file.read_bytes()]


async def test_a_stream_over_several_windows_comes_in_order(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        settings = settings_for(simulator, **SMALL, windows=4)
        batches = [batch async for batch in stream(settings)]
        await export(tmp_path / "orders", settings)
    assert sum(batch.num_rows for batch in batches) == ROWS
    times = [moment for batch in batches for moment in batch.column("created_at").to_pylist()]
    assert times == rows(tmp_path / "orders").column("created_at").to_pylist()


async def test_a_stream_that_misses_something_raises_at_its_end() -> None:
    async with serving(SimulatorOptions(rows=600, quirks=Quirks(inserts=(14,)))) as simulator:
        with pytest.raises(ExportError):
            async for _ in stream(settings_for(simulator, **SMALL)):
                pass


async def drain(batches: AsyncIterator[Any]) -> None:
    async for _ in batches:
        pass


def worker_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.split("_")[0] in {"judging", "disk", "parts"}]


@pytest.mark.parametrize("way", ["export", "stream"])
async def test_the_threads_of_a_failed_export_end_with_it(tmp_path: Path, way: str) -> None:
    others = set(worker_threads())
    seen: set[threading.Thread] = set()

    def watch(_: Event) -> None:
        seen.update(set(worker_threads()) - others)

    script = ("none",) * 30 + ("server_error",) * 1000
    async with serving(SimulatorOptions(rows=ROWS, faults=Faults(script=script))) as simulator:
        settings = settings_for(simulator, **SMALL, max_attempts=1, patience=0.0)
        with pytest.raises(ApiError) as caught:  # the error keeps its frames, so no thread ends by being collected
            await (
                export(tmp_path / "orders", settings, on_event=watch)
                if way == "export"
                else drain(stream(settings, on_event=watch))
            )
    assert seen
    assert not [thread for thread in seen if thread.is_alive()]
    assert caught.tb is not None


async def test_exports_share_the_threads_that_they_are_given(tmp_path: Path) -> None:
    others = set(worker_threads())
    seen: set[threading.Thread] = set()

    def watch(_: Event) -> None:
        seen.update(set(worker_threads()) - others)

    async with serving(SimulatorOptions(rows=ROWS)) as simulator:
        settings = settings_for(simulator, **SMALL)
        await export(tmp_path / "alone", settings)
        with threads(judging=2, disk=2, parts=1) as pools:
            outs = [tmp_path / str(number) for number in range(8)]
            resources = Resources(threads=pools, budget=RowBudget())
            await asyncio.gather(*(export(out, settings, on_event=watch, resources=resources) for out in outs))
            assert len(seen) == 5
            assert all(thread.is_alive() for thread in seen)
        assert [digests(out) for out in outs] == [digests(tmp_path / "alone")] * 8


async def test_an_export_that_is_cancelled_while_it_opens_its_store_releases_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, may_open = threading.Event(), threading.Event()
    real = Store.open

    def slow(*arguments: Any, **options: Any) -> Store | Manifest:
        opening.set()
        may_open.wait()
        return real(*arguments, **options)

    monkeypatch.setattr(Store, "open", slow)
    async with serving(SimulatorOptions(rows=10)) as simulator:
        task = asyncio.create_task(export(tmp_path / "out", settings_for(simulator)))
        await asyncio.to_thread(opening.wait)
        asyncio.get_running_loop().call_soon(may_open.set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_held(tmp_path / ".out.exporter" / "lock")
        assert (await export(tmp_path / "out", settings_for(simulator))).complete
