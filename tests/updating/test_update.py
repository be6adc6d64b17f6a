"""A result is brought up to date by few requests, and is then what a new export would be."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import exporter
from exporter.delivery.report import write
from exporter.delivery.report.evidence import Proof, certificates, changes, pace
from exporter.errors import CertificateError, ConfigError, OutputError
from exporter.events import Event, Noticed, Resumed
from exporter.export import export
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.quirks import Quirks
from exporter.simulator.server import Simulator, serving
from exporter.simulator.world import World
from exporter.store import parts, status
from exporter.store.disk import Disk
from exporter.store.status import State
from exporter.store.verify import verify
from exporter.updating import update
from exporter.vendor.orders import Filters, wire_time
from tests.exporting import digests, rows, settings_for
from tests.test_docs import ROOT
from tests.test_version_0_1 import FIXTURES
from tests.updating.worlds import (
    DAY,
    Clock,
    asked,
    assert_current,
    exported,
    grow,
    updated,
    world_of,
)

LARGE = SimulatorOptions(rows=30_000, seed=5)
SMALL = SimulatorOptions(rows=2_000, seed=3)
PAGES = {"page_size": 20, "segment_pages": 4}


def quiet(options: SimulatorOptions) -> tuple[World, Clock]:
    """Make a world in which nothing counts down any more."""
    world, clock = world_of(options)
    grow(world, clock, orders=0, seconds=7 * DAY)
    return world, clock


@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
async def test_where_nothing_changed_ten_requests_show_it_and_the_files_stay(tmp_path: Path, name: str) -> None:
    world, clock = quiet(LARGE)
    out = tmp_path / name
    async with serving(LARGE, world) as simulator:
        await exported(out, simulator)
        file = next(out.glob("*.parquet")) if out.is_dir() else out
        before, inode = file.read_bytes(), file.stat().st_ino
        grow(world, clock, orders=0)
        summary = await updated(out, simulator)
    assert summary.requests <= 10
    assert (summary.added, summary.changed, summary.vanished) == (0, 0, 0)
    assert summary.segments_kept == summary.segments - 1, "all but the new range"
    assert file.read_bytes() == before
    assert file.stat().st_ino == inode, "not even written again"


async def test_new_orders_cost_their_pages(tmp_path: Path) -> None:
    world, clock = quiet(LARGE)
    async with serving(LARGE, world) as simulator:
        await exported(tmp_path / "orders", simulator)
        grow(world, clock, orders=1_300)
        summary = await updated(tmp_path / "orders", simulator)
        await exported(tmp_path / "new", simulator)
    assert summary.requests <= 10 + 3
    assert (summary.added, summary.changed, summary.vanished) == (1_300, 0, 0)
    assert digests(tmp_path / "orders") == digests(tmp_path / "new")


async def test_the_month_of_the_readme_costs_no_more_than_it_says(tmp_path: Path) -> None:
    world, clock = quiet(LARGE)
    async with serving(LARGE, world) as simulator:
        full = await exported(tmp_path / "orders", simulator)
        world.pass_time(changes=50, latest=900)
        grow(world, clock, orders=700)
        summary = await updated(tmp_path / "orders", simulator)
        await exported(tmp_path / "new", simulator)
    assert summary.requests <= 62
    assert summary.requests_full >= full
    assert (summary.added, summary.changed, summary.vanished) == (700, 50, 0)
    assert summary.anew is None
    assert digests(tmp_path / "orders") == digests(tmp_path / "new")


@pytest.mark.parametrize("changes", [60, 3_000])
async def test_changes_everywhere_never_cost_much_more_than_a_new_export(tmp_path: Path, changes: int) -> None:
    world, _ = quiet(LARGE)
    async with serving(LARGE, world) as simulator:
        full = await exported(tmp_path / "orders", simulator, segment_pages=5)
        world.pass_time(changes=changes, late=20, deletions=20)
        summary = await updated(tmp_path / "orders", simulator, segment_pages=5)
        await exported(tmp_path / "new", simulator)
    assert summary.requests <= 1.1 * full + 20
    assert (summary.added, summary.vanished) == (20, 20)
    assert digests(tmp_path / "orders") == digests(tmp_path / "new")


async def test_what_is_kept_says_when_and_how_it_was_confirmed(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        before = verify(tmp_path / "orders")
        assert before.updated is None
        world.pass_time(changes=3, latest=100)
        grow(world, clock, orders=30)
        summary = await updated(tmp_path / "orders", simulator, **PAGES)
    manifest = verify(tmp_path / "orders")
    kept = [one for one in manifest.segments if one.confirmed]
    assert 0 < len(kept) == summary.segments_kept < len(manifest.segments)
    assert {one.span for one in kept} <= {one.span for one in before.segments}
    assert {one.certificate for one in kept} <= {one.certificate for one in before.segments}
    codes = rows(tmp_path / "orders")["status_code"]
    place = 0
    for one in manifest.segments:
        if one.confirmed:
            counts = Counter(str(code) for code in codes[place : place + one.rows].to_pylist())
            assert dict(one.confirmed.counts) == counts
            assert one.confirmed.time == wire_time(int(clock.now))
        place += one.rows
    assert (manifest.run.added, manifest.run.changed, manifest.run.vanished) == (30, 3, 0)
    assert manifest.updated is not None


async def test_the_report_and_the_format_page_know_what_an_update_writes(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        world.pass_time(changes=3, latest=100)
        grow(world, clock, orders=30)
        summary = await updated(tmp_path / "orders", simulator, **PAGES)
    result = exporter.open(tmp_path / "orders")
    assert changes(result.manifest) == {
        "added": 30,
        "changed": 3,
        "vanished": 0,
        "segments_kept": summary.segments_kept,
        "requests_full": summary.requests_full,
    }
    kept = [one for one in certificates(result.manifest) if one.proof is Proof.KEPT]
    assert len(kept) == summary.segments_kept
    assert {one.confirmed for one in kept} == {wire_time(int(clock.now))}
    began = min(one["fetched_from"] for one in result.manifest["segments"] if "confirmed" not in one)
    assert pace(result.manifest).fetched_from == began, "what is kept came in another run"
    write([(None, result)], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Changes since the export before" in page
    assert f"confirmed {wire_time(int(clock.now))}" in page
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "format.md").read_text(encoding="utf-8")))
    own = {key for one in result.manifest["segments"] for key in one} | set(result.manifest["run"])
    assert named >= own
    assert {"confirmed", "added"} <= own


async def test_an_update_of_an_update_is_one_of_a_result_like_any_other(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        for _ in range(3):
            world.pass_time(changes=4, late=2, deletions=1, latest=300)
            grow(world, clock, orders=25)
            summary = await updated(tmp_path / "orders", simulator, **PAGES)
            assert (summary.added, summary.vanished) == (27, 1)
        await exported(tmp_path / "new", simulator, **PAGES)
    assert digests(tmp_path / "orders") == digests(tmp_path / "new")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 512)
    monkeypatch.setattr(parts, "GROUP_ROWS", 128)


@pytest.mark.usefixtures("small_parts")
async def test_parts_before_the_first_difference_are_the_same_files(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    out = tmp_path / "orders"
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        inodes = [file.stat().st_ino for file in sorted(out.glob("*.parquet"))]
        grow(world, clock, orders=100)
        await updated(out, simulator, **PAGES)
        appended = [file.stat().st_ino for file in sorted(out.glob("*.parquet"))]
        assert len(inodes) == 4
        assert appended[:3] == inodes[:3]
        assert len(appended) == 5
        world.advance(next(index for index in range(1_100, 1_500) if world.columns.statuses[index] == 5))
        await updated(out, simulator, **PAGES)
        changed = [file.stat().st_ino for file in sorted(out.glob("*.parquet"))]
        assert changed[:2] == appended[:2]
        assert not set(changed[2:]) & set(appended)
        while len(world.columns) > 1_024:
            world.delete(len(world.columns) - 1)
        await updated(out, simulator, **PAGES)
        assert [file.stat().st_ino for file in sorted(out.glob("*.parquet"))] == changed[:2]
        await exported(tmp_path / "new", simulator, **PAGES)
    assert digests(out) == digests(tmp_path / "new")


@pytest.mark.usefixtures("small_parts")
async def test_where_the_file_system_knows_no_links_parts_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    world, clock = quiet(SMALL)
    out = tmp_path / "orders"
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        before = digests(out)
        grow(world, clock, orders=10)
        monkeypatch.setattr("os.link", refuse)
        await updated(out, simulator, **PAGES)
    assert list(digests(out).items())[:3] == list(before.items())[:3]


async def test_an_end_that_was_given_stays_and_a_later_one_moves_it(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    out, first = tmp_path / "orders", int(clock.now) - 3 * DAY
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, end=first, **PAGES)
        grow(world, clock, orders=40)
        assert (await updated(out, simulator, **PAGES)).added == 0
        assert verify(out).whole.stop == first + 1
        later = int(clock.now) - 600
        with pytest.raises(ConfigError, match="before that of the result"):
            await update(out, asked(simulator, end=first - 1, **PAGES))
        assert (await updated(out, simulator, end=later, **PAGES)).added == 40
        await exported(tmp_path / "new", simulator, end=later, **PAGES)
        assert (await updated(out, simulator, end=later, **PAGES)).requests <= 9
        assert digests(out) == digests(tmp_path / "new"), "every part says what was asked"
        with pytest.raises(ConfigError, match="before that of the result"):
            await update(out, asked(simulator, end=later - 1, **PAGES))


async def test_an_open_end_may_become_a_given_one(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        covered = verify(tmp_path / "orders").whole.stop - 1
        with pytest.raises(ConfigError, match="before that of the result"):
            await update(tmp_path / "orders", asked(simulator, end=covered - 1))
        grow(world, clock, orders=40)
        await updated(tmp_path / "orders", simulator, end=covered + DAY // 2, **PAGES)
    manifest = verify(tmp_path / "orders")
    assert manifest.whole.stop == covered + DAY // 2 + 1
    assert manifest.query["end"] == wire_time(covered + DAY // 2)


async def test_only_orders_of_the_querys_filters_are_counted(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    filters = Filters(status=(3, 5), type=(1, 2, 8))
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, filters=filters, **PAGES)
        world.pass_time(changes=30)
        grow(world, clock, orders=40)
        summary = await update(tmp_path / "orders", asked(simulator, **PAGES))
        await exported(tmp_path / "new", simulator, filters=filters, **PAGES)
    assert summary.complete
    assert summary.vanished, "what was refunded is not asked for"
    assert digests(tmp_path / "orders") == digests(tmp_path / "new")


@pytest.mark.parametrize("name", ["changes.parquet", "changes.csv"])
async def test_changes_are_written_before_the_result_is_replaced(tmp_path: Path, name: str) -> None:
    world, clock = quiet(SMALL)
    out, before = tmp_path / "orders", tmp_path / "before"
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        shutil.copytree(out, before)
        world.pass_time(changes=5, late=2, deletions=3, latest=500)
        grow(world, clock, orders=20)
        await updated(out, simulator, changes=tmp_path / name, **PAGES)
    expected = exporter.diff(before, out).changes
    if name.endswith(".csv"):
        assert len((tmp_path / name).read_text(encoding="utf-8").splitlines()) == 1 + len(expected)
    else:
        assert pq.read_table(tmp_path / name).equals(expected)


async def test_a_file_for_changes_that_can_not_be_written_is_refused_at_once(tmp_path: Path) -> None:
    world, _ = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        sent = simulator.statistics.requests
        for path in (tmp_path / "changes.txt", tmp_path / "none" / "changes.csv", tmp_path / "orders" / "changes.csv"):
            with pytest.raises(ConfigError):
                await update(tmp_path / "orders", asked(simulator), changes=path)
        assert simulator.statistics.requests == sent


@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
async def test_a_result_of_version_0_1_is_brought_up_to_date(tmp_path: Path, name: str) -> None:
    source, out = FIXTURES / name, tmp_path / name
    if source.is_dir():
        shutil.copytree(source, out)
    else:
        shutil.copy(source, out)
        shutil.copy(f"{source}.manifest.json", f"{out}.manifest.json")
    options = SimulatorOptions(rows=400, seed=1)
    world = World.of(options)
    before = json.loads((out / "_manifest.json" if out.is_dir() else Path(f"{out}.manifest.json")).read_bytes())
    async with serving(options, world) as simulator:
        world.pass_time(changes=3, late=1, deletions=1)
        made = settings_for(simulator, page_size=20, segment_pages=3, end=None, end_asked=None)
        summary = await update(out, made)
        assert_current(out, simulator)
    manifest = verify(out)
    assert (summary.added, summary.changed, summary.vanished) == (1, 3, 1)
    assert manifest.query == before["query"], "its own, although the server is at another address now"


SURPRISES = {
    "capped": (Quirks(total_cap=1_000), "capped"),
    "missing": (Quirks(totals="missing"), "ignored"),
    "short": (Quirks(totals="short"), "ignored"),
    "padded": (Quirks(open_start=True), "bounds"),
    "unordered": (Quirks(sort="total"), "no order"),
    "cut to the last days": (Quirks(last_days=90), "halves"),
    "cut to the first days": (Quirks(first_days=90), "capped"),
    "short ranges": (Quirks(max_range_days=400), "must not exceed"),
    "filter": (Quirks(ignored_filters=("status",)), "count by status"),
}


@pytest.mark.parametrize("name", SURPRISES)
async def test_where_counts_can_not_be_relied_on_everything_is_exported_anew(tmp_path: Path, name: str) -> None:
    quirks, words = SURPRISES[name]
    options = replace(SMALL, rows=1_500, quirks=quirks)
    world, clock = quiet(options)
    events: list[Event] = []
    async with serving(options, world) as simulator:
        await exported(tmp_path / "orders", simulator)
        world.pass_time(changes=10)
        grow(world, clock, orders=20)
        summary = await update(tmp_path / "orders", asked(simulator), on_event=events.append)
        assert summary.complete
        assert_current(tmp_path / "orders", simulator)
    assert summary.anew is not None
    assert words in summary.anew
    assert summary.segments_kept == 0
    assert (summary.added, summary.changed) == (20, 10)
    assert [event for event in events if isinstance(event, Noticed) and "exported anew" in event.message]


async def test_a_range_that_has_grown_longer_than_the_server_answers_whole_is_exported_anew(tmp_path: Path) -> None:
    """Sixty days were answered whole; of a hundred and twenty only the last ninety are."""
    options = SimulatorOptions(rows=1_500, seed=3, start="2025-11-02", quirks=Quirks(last_days=90))
    world, clock = quiet(options)
    async with serving(options, world) as simulator:
        await exported(tmp_path / "orders", simulator)
        grow(world, clock, orders=600, seconds=60 * DAY)
        summary = await updated(tmp_path / "orders", simulator)
    assert summary.added == 600
    assert "end-to-end" in (summary.anew or "")


async def test_counts_that_do_not_add_up_are_taken_twice_and_then_not_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = quiet(SMALL)
    numbers = World._numbers

    def off(self: World, request: object, size: int, total: int) -> dict[str, object]:
        status = request.filters.status  # type: ignore[attr-defined]
        return numbers(self, request, size, total + (status == {5}))  # type: ignore[arg-type]

    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        monkeypatch.setattr(World, "_numbers", off)
        summary = await update(tmp_path / "orders", asked(simulator, **PAGES))
        assert_current(tmp_path / "orders", simulator)
    assert summary.anew is not None
    assert "do not add up" in summary.anew


async def test_labels_that_no_table_knows_leave_nothing_to_count_by(tmp_path: Path) -> None:
    world, _ = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, language="ru", **PAGES)
        world.pass_time(changes=3)
        summary = await update(tmp_path / "orders", asked(simulator, **PAGES))
    assert summary.anew is not None
    assert "language" in summary.anew
    assert summary.changed == 3


async def test_an_empty_result_is_filled(tmp_path: Path) -> None:
    world, clock = quiet(replace(SMALL, rows=0))
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator)
        assert (await updated(tmp_path / "orders", simulator)).requests <= 10
        grow(world, clock, orders=0)
        world.columns.insert(0, World.at([int((clock.now - DAY / 2) * 1000)], now=clock.now).columns)
        assert (await updated(tmp_path / "orders", simulator)).added == 1


async def test_bad_input_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    world, _ = quiet(SMALL)
    out = tmp_path / "orders"
    async with serving(SMALL, world) as simulator, serving(replace(SMALL, seed=9)) as stranger:
        await exported(out, simulator, **PAGES)
        sent = simulator.statistics.requests
        made = asked(simulator, **PAGES)
        (tmp_path / "empty").mkdir()
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "notes.txt").write_text("not ours", encoding="utf-8")
        (tmp_path / "file").write_text("not ours", encoding="utf-8")
        for name in ("nothing", "empty", "other", "file", "nothing.parquet"):
            with pytest.raises(ConfigError):
                await update(tmp_path / name, made)
        with pytest.raises(ConfigError, match="is an address"):
            await update(Path("s3://bucket/orders"), made)
        before = {path: path.read_bytes() for path in sorted(out.iterdir())}
        with pytest.raises(OutputError, match="another team's key"):
            await update(out, asked(stranger, **PAGES))
        assert {path: path.read_bytes() for path in sorted(out.iterdir())} == before
        part = next(out.glob("*.parquet"))
        part.write_bytes(part.read_bytes()[:-9] + b"X" + part.read_bytes()[-8:])
        with pytest.raises(CertificateError, match=r"part-00000\.parquet"):
            await update(out, made)
        part.unlink()
        with pytest.raises(CertificateError, match=r"part-00000\.parquet"):
            await update(out, made)
        assert simulator.statistics.requests == sent
        manifest = json.loads((out / "_manifest.json").read_bytes())
        (out / "_manifest.json").write_text(json.dumps(manifest | {"missing": []}), encoding="utf-8")
        with pytest.raises(CertificateError, match="changed by hand"):
            await update(out, made)
    assert not work_in(tmp_path)


async def test_the_key_of_another_team_is_known_by_its_orders_where_the_first_pages_are_new(tmp_path: Path) -> None:
    """The team's first pages may show orders that are not held: those held are asked for then."""
    world, _ = quiet(replace(SMALL, rows=60))
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator)
        first = world.columns.moments[0]
        for index in range(len(world.columns) - 1, 0, -1):
            world.delete(index)
        for number in range(520):
            world.insert(first - (520 - number) * 1000)
        summary = await update(tmp_path / "orders", asked(simulator))
        assert summary.complete
        assert_current(tmp_path / "orders", simulator)


async def test_an_unfinished_export_is_none_to_update(tmp_path: Path) -> None:
    world, _ = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await interrupted(export, tmp_path / "orders", simulator, after=60)
        with pytest.raises(OutputError, match="unfinished") as caught:
            await update(tmp_path / "orders", asked(simulator, **PAGES))
        assert "exporter run" in (caught.value.hint or "")


def work_in(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


async def interrupted(do: object, out: Path, simulator: Simulator, *, after: int, **options: object) -> None:
    """Export or update, and stop it when a request arrives."""
    (team,) = simulator.teams.values()
    decide, left = type(team).decide, after

    def counting(*arguments: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            task.cancel()
        return decide(team, *arguments)  # type: ignore[arg-type]

    task = asyncio.ensure_future(do(out, asked(simulator, **PAGES, **options)))  # type: ignore[operator]
    team.decide = counting  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncio.CancelledError):
        await task
    del team.decide


async def test_an_unfinished_update_is_resumed_by_update_and_refused_by_run(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    out = tmp_path / "orders"
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        world.pass_time(changes=5, latest=700)
        grow(world, clock, orders=500)
        await interrupted(update, out, simulator, after=40)
        verify(out)
        with pytest.raises(OutputError, match="unfinished update") as caught:
            await export(out, asked(simulator, overwrite=True, **PAGES))
        assert "exporter update" in (caught.value.hint or "")
        with pytest.raises(OutputError, match="another unfinished update"):
            await update(out, asked(simulator, end=int(clock.now) - 300, **PAGES))
        clock.now += DAY
        whole = verify(out).whole
        summary = await updated(out, simulator, **PAGES)
        assert verify(out).whole.stop == int(clock.now) - DAY - 300 + 1 != whole.stop, "the moment stays"
        assert (summary.added, summary.changed) == (500, 5)
        await interrupted(export, out, simulator, after=30, overwrite=True)
        with pytest.raises(OutputError, match="unfinished export"):
            await update(out, asked(simulator, **PAGES))
        await updated(out, simulator, fresh=True, **PAGES)
        assert not work_in(tmp_path)


@pytest.mark.parametrize("given", [True, False])
async def test_a_resumed_update_calls_an_end_frozen_only_if_it_was_left_open(tmp_path: Path, *, given: bool) -> None:
    world, clock = quiet(SMALL)
    out, events = tmp_path / "orders", list[Event]()
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        grow(world, clock, orders=500)
        end = {"end": int(clock.now) - 300} if given else {}
        await interrupted(update, out, simulator, after=30, **end)
        clock.now += DAY
        await update(out, asked(simulator, **PAGES | end), on_event=events.append)
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert resumed.rows
    assert (resumed.end is None) == given


async def test_an_unfinished_update_of_a_result_that_was_replaced_begins_anew(tmp_path: Path) -> None:
    world, clock = quiet(SMALL)
    out, events = tmp_path / "orders", list[Event]()
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        grow(world, clock, orders=500)
        await interrupted(update, out, simulator, after=30)
        await exported(tmp_path / "other", simulator, **PAGES)
        shutil.rmtree(out)
        (tmp_path / "other").rename(out)
        summary = await update(out, asked(simulator, **PAGES), on_event=events.append)
        assert_current(out, simulator)
    assert summary.added == 0
    assert [event for event in events if isinstance(event, Noticed) and "replaced since" in event.message]


async def test_a_late_order_and_one_that_vanishes_while_the_update_runs_are_met(tmp_path: Path) -> None:
    options = replace(SMALL, quirks=Quirks(inserts=(118, 125), deletions=(122,)))
    world, clock = quiet(options)
    async with serving(options, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        world.requests = 110
        grow(world, clock, orders=100)
        await updated(tmp_path / "orders", simulator, **PAGES)


@pytest.mark.parametrize("latest", [60, 2_000])
async def test_orders_that_change_all_the_time_keep_no_update_from_its_end(tmp_path: Path, latest: int) -> None:
    """With every third request the status of an order goes forward, among the last ones or among all."""
    world, clock = quiet(SMALL)
    response, identity = World.response_bytes, attrgetter("statuses")

    def busy(self: World, body: object, *, language: str = "en") -> bytes:
        if self.requests > began and not self.requests % 3:
            self.pass_time(changes=1, latest=latest)
        return response(self, body, language=language)

    async with serving(SMALL, world) as simulator:
        full = await exported(tmp_path / "orders", simulator, **PAGES)
        grow(world, clock, orders=100)
        began, before = world.requests, bytes(identity(world.columns))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(World, "response_bytes", busy)
            summary = await update(tmp_path / "orders", asked(simulator, **PAGES))
        after = bytes(identity(world.columns))
    assert summary.complete
    assert summary.requests <= 3 * full
    shown = rows(tmp_path / "orders")["status_code"].to_pylist()
    found = list(zip(before, shown, after, strict=True))
    assert all(LATER_OR_SAME[one] >= LATER_OR_SAME[then] for then, one, _ in found)
    assert all(LATER_OR_SAME[now] >= LATER_OR_SAME[one] for _, one, now in found)


LATER_OR_SAME = {1: 0, 3: 1, 5: 2, 2: 3, 4: 3, 6: 3, 7: 3}
"""How far a status is on its way."""


class Cut(Exception):  # noqa: N818 - no error: the power was cut
    """An update ends in the middle."""


@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
async def test_a_replacement_that_was_interrupted_is_completed_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out, renamed = tmp_path / name, Disk.rename

    def cut(self: Disk, source: Path, target: Path) -> None:
        if target in {out, out.with_name("orders.parquet.manifest.json")} and source.name != out.name:
            raise Cut
        renamed(self, source, target)

    world, clock = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        grow(world, clock, orders=40)
        with monkeypatch.context() as patched:
            patched.setattr(Disk, "rename", cut)
            with pytest.raises(Cut):
                await update(out, asked(simulator, **PAGES), changes=tmp_path / "changes.csv")
        assert status(out).state is State.PUBLISHING
        written, sent = (tmp_path / "changes.csv").read_bytes(), simulator.statistics.requests
        environment = {"DUOPLUS_API_KEY": SMALL.key, "EXPORTER_RATE": "1e6", "EXPORTER_PAGE_SIZE": "20"}
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        tokens = ["update", str(out), "--json", "--changes", str(tmp_path / "changes.csv")]
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "exporter", *tokens, stdout=PIPE)
        facts = json.loads((await process.communicate())[0])
        assert (process.returncode, facts["requests"], facts["added"]) == (0, 0, 40)
        assert simulator.statistics.requests == sent
        assert (tmp_path / "changes.csv").read_bytes() == written
        assert_current(out, simulator)
    assert not work_in(tmp_path)


async def test_what_can_not_be_certified_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, clock = quiet(SMALL)
    async with serving(SMALL, world) as simulator:
        await exported(tmp_path / "orders", simulator, **PAGES)
        before = digests(tmp_path / "orders")
        grow(world, clock, orders=100)
        numbers = World._numbers

        def more(self: World, request: Any, size: int, total: int) -> dict[str, Any]:
            return numbers(self, request, size, total + 5 * (request.last > int(clock.now) - DAY))

        monkeypatch.setattr(World, "_numbers", more)
        with pytest.raises(CertificateError):
            await update(tmp_path / "orders", asked(simulator, **PAGES))
        assert digests(tmp_path / "orders") == before
        monkeypatch.setattr(World, "_numbers", numbers)
        assert (await updated(tmp_path / "orders", simulator, **PAGES)).added == 100


async def test_where_rounds_do_not_end_the_rest_is_certified_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an update that was stopped had certified is certified again, too: it may have changed since."""
    world, clock = quiet(SMALL)
    out = tmp_path / "orders"
    async with serving(SMALL, world) as simulator:
        await exported(out, simulator, **PAGES)
        grow(world, clock, orders=400)
        await interrupted(update, out, simulator, after=24)
        for _ in range(3):
            world.advance(bytes(world.columns.statuses).index(5, len(world.columns) - 390))
        world.advance(bytes(world.columns.statuses).index(5, 100))
        monkeypatch.setattr("exporter.updating.rounds.ROUNDS", 1)
        summary = await updated(out, simulator, **PAGES)
    assert (summary.added, summary.changed) == (400, 1)
    assert summary.anew is not None
    assert "still differ" in summary.anew
