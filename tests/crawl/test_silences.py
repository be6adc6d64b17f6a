"""A server that cuts long ranges without a word: the largest silences are asked for by themselves."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.certify.silences import DAY, USUAL_LIMITS, Timeline, silences
from exporter.certify.spans import Span
from exporter.crawl.silence_check import spare_requests
from exporter.events import Event, Noticed
from exporter.export import export
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.quirks import Quirks
from exporter.simulator.server import serving
from exporter.simulator.world import World
from exporter.streaming import stream
from exporter.vendor.orders import wire_time
from tests.crawl.hostile_server import START, HostileQuirks, Order
from tests.crawl.model_run import drive
from tests.crawl.test_engine_cases import made_at, run_on, scripted
from tests.exporting import assert_exact, settings_for
from tests.store.orders import record, table

EARLIEST = 1_420_041_600
"""2015-01-01, where a range starts whose start is not given."""

CUTS = [
    Quirks(last_days=90),
    Quirks(last_days=366),
    Quirks(first_days=90),
    Quirks(first_days=366),
]


def named(quirks: Quirks) -> str:
    return f"first {quirks.first_days} days" if quirks.first_days else f"last {quirks.last_days} days"


@pytest.mark.parametrize("windows", [None, 4])
@pytest.mark.parametrize("start", [EARLIEST, None], ids=["default start", "start at the first order"])
@pytest.mark.parametrize("quirks", CUTS, ids=named)
async def test_a_long_range_that_is_cut_without_a_word_loses_no_order(
    tmp_path: Path, quirks: Quirks, start: int | None, windows: int | None
) -> None:
    async with serving(SimulatorOptions(rows=2_000, quirks=quirks)) as simulator:
        first = simulator.options.span()[0] if start is None else start
        options = {"start": first, "start_asked": wire_time(first), "windows": windows, "page_size": 100}
        summary = await export(tmp_path / "orders", settings_for(simulator, **options))
        assert_exact(tmp_path / "orders", simulator)
    assert (summary.complete, summary.rows) == (True, 2_000)


@pytest.mark.parametrize("quirks", CUTS[:3], ids=named)
async def test_a_range_whose_end_is_open_is_not_cut_either(tmp_path: Path, quirks: Quirks) -> None:
    events: list[Event] = []
    async with serving(SimulatorOptions(rows=2_000, quirks=quirks)) as simulator:
        open_end = {"start": EARLIEST, "start_asked": "", "end": None, "end_asked": None}
        await export(tmp_path / "orders", settings_for(simulator, **open_end), on_event=events.append)
        assert_exact(tmp_path / "orders", simulator)
    assert any("long ranges" in event.message for event in events if isinstance(event, Noticed))


async def test_a_stream_loses_no_order_to_a_cut_range() -> None:
    async with serving(SimulatorOptions(rows=2_000, quirks=Quirks(last_days=90))) as simulator:
        settings = settings_for(simulator, start=EARLIEST, start_asked="")
        assert sum([batch.num_rows async for batch in stream(settings)]) == 2_000


@pytest.mark.parametrize("cut", [Quirks(last_days=90), Quirks(first_days=90)], ids=named)
@pytest.mark.parametrize(
    "other",
    [{"totals": "missing"}, {"totals": "short"}, {"sort": "descending"}, {"sort": "total"}, {"total_cap": 100}],
    ids=str,
)
@pytest.mark.parametrize("start", [EARLIEST, None], ids=["default start", "start at the first order"])
async def test_a_cut_range_loses_no_order_where_totals_or_the_order_are_of_no_use(
    tmp_path: Path, cut: Quirks, other: dict[str, Any], start: int | None
) -> None:
    quirks = dataclasses.replace(cut, **other)
    async with serving(SimulatorOptions(rows=400, quirks=quirks)) as simulator:
        first = simulator.options.span()[0] if start is None else start
        summary = await export(tmp_path / "orders", settings_for(simulator, start=first, start_asked=""))
        assert_exact(tmp_path / "orders", simulator)
    assert summary.requests < 1_000


@pytest.mark.parametrize("past_end", ["refuse", "repeat"])
async def test_without_totals_days_after_the_last_order_are_asked_for_beyond_the_promise(
    tmp_path: Path, past_end: str
) -> None:
    """The first days look whole, as the page past their end is none; the promise is spent by then."""
    quirks = Quirks(first_days=90, totals="missing", past_end=past_end)  # type: ignore[arg-type]
    async with serving(SimulatorOptions(rows=1_000, quirks=quirks)) as simulator:
        await export(tmp_path / "orders", settings_for(simulator))
        assert_exact(tmp_path / "orders", simulator)


async def test_orders_that_ended_before_the_last_days_are_found_where_none_shows(tmp_path: Path) -> None:
    options = SimulatorOptions(rows=30, start="2025-06-01", end="2025-09-01", quirks=Quirks(last_days=90))
    async with serving(options) as simulator:
        end = options.span()[1] + 100 * DAY
        simulator.world = World(simulator.world.columns, clock=lambda: end + 300.0, quirks=options.quirks)
        asked = settings_for(simulator, start=EARLIEST, start_asked="", end=end, end_asked="")
        summary = await export(tmp_path / "orders", asked)
        assert_exact(tmp_path / "orders", simulator)
    assert summary.rows == 30


@pytest.mark.parametrize("crowd", [1, 6])
def test_a_late_order_in_a_silence_is_not_taken_for_a_cut_where_totals_are_capped(crowd: int) -> None:
    server = scripted(made_at(*range(9), *[9] * crowd, *range(60, 90)), HostileQuirks(total_cap=20), seconds=100)
    late = Order(moment=30_000, name="late")
    server.prepare(lambda request: request.first == START + 11, lambda: server.insert(late))
    run = run_on(server)
    assert drive(run)
    assert server.came
    assert run.engine
    assert run.engine.profile.longest is None


async def test_days_without_orders_after_the_last_that_is_shown_are_asked_for_by_themselves(tmp_path: Path) -> None:
    """The orders of two short times, years apart: the first days of a range show none of the later ones."""
    async with serving(SimulatorOptions(rows=40, quirks=Quirks(first_days=90))) as simulator:
        world = simulator.world
        first, last = simulator.options.span()
        for index in range(40):
            near = first if index < 20 else last - 40 * DAY
            world.columns.moments[index] = (near + index * DAY) * 1000
            old = world.columns.rows[index]
            at = old.index(b'"created_at":"') + len(b'"created_at":"')
            world.columns.rows[index] = old[:at] + wire_time(near + index * DAY).encode() + old[at + 25 :]
        summary = await export(tmp_path / "orders", settings_for(simulator))
        assert_exact(tmp_path / "orders", simulator)
    assert summary.rows == 40


@pytest.mark.parametrize("start", [EARLIEST, None])
@pytest.mark.parametrize("rows", [0, 1, 499, 500, 501, 3_000, 12_000])
async def test_an_undisturbed_export_sends_no_more_than_is_promised(
    tmp_path: Path, rows: int, start: int | None
) -> None:
    async with serving(SimulatorOptions(rows=rows)) as simulator:
        options = {} if start is None else {"start": start, "start_asked": "", "end": None, "end_asked": None}
        summary = await export(tmp_path / "orders", settings_for(simulator, **options))
        assert_exact(tmp_path / "orders", simulator)
    assert summary.requests <= math.ceil(rows / 500) * 1.01 + 6


def timeline_of(*seconds: int, whole: Span) -> Timeline:
    timeline = Timeline()
    timeline.add(whole, table([record(second, number) for number, second in enumerate(seconds)]))
    return timeline


@given(seconds=st.lists(st.integers(0, 3_000), max_size=30), proven=st.integers(0, 4_000))
def test_a_silence_holds_no_order_and_lies_in_the_range(seconds: list[int], proven: int) -> None:
    whole = Span(START, START + 3_001)
    made = [START + second for second in sorted(seconds)]
    found = list(silences(whole, timeline_of(*made, whole=whole), proven=proven))
    assert not [second for span in found for second in made if second in span]
    assert all(whole.start <= span.start < span.stop <= whole.stop for span in found)
    assert len(found) == len(set(found))


@given(seconds=st.lists(st.integers(0, 3_000), min_size=2, max_size=30))
def test_without_time_before_the_first_order_the_longest_gap_is_asked_for(seconds: list[int]) -> None:
    made = sorted({START, *(START + second for second in seconds)})
    whole = Span(START, made[-1] + 1)
    longest = max((other - one for one, other in pairwise(made)), default=0)
    found = list(silences(whole, timeline_of(*made, whole=whole), proven=made[-1] - made[0]))
    assert [span.seconds for span in found] == ([longest - 3] if longest > 3 else [])


def test_where_nothing_is_held_the_usual_limits_of_ranges_are_tried() -> None:
    whole = Span(EARLIEST, START)
    assert [span.seconds for span in silences(whole, Timeline(), proven=0)] == list(USUAL_LIMITS)
    spans = sorted(silences(whole, Timeline(), proven=0))
    assert spans[-1].stop == START
    assert all(one.stop == other.start for one, other in pairwise(spans))


@pytest.mark.parametrize(
    ("days", "lengths"), [(7, []), (8, [1, 7]), (97, [90, 7]), (98, [1, 90, 7]), (1_000, [366, 90, 7])]
)
def test_a_short_range_without_orders_is_asked_for_in_fewer_spans(days: int, lengths: list[int]) -> None:
    spans = silences(Span(START, START + days * DAY), Timeline(), proven=0)
    assert [span.seconds // DAY for span in spans] == lengths


@given(seconds=st.lists(st.integers(0, 3_000), max_size=30), second=st.integers(0, 3_000))
def test_the_last_order_before_a_second_is_known_at_the_longest_gap(seconds: list[int], second: int) -> None:
    whole = Span(START, START + 3_001)
    made = [START + each for each in sorted(seconds)]
    timeline = timeline_of(*made, whole=whole)
    found = timeline.last_before(START + second)
    before = [each for each in made if each < START + second]
    assert (found is None) == (not before)
    assert found is None or found in before
    for gap in timeline.gaps():
        assert timeline.last_before(gap.start) == max(each for each in made if each < gap.start)


def test_a_silence_longer_than_what_is_proven_is_asked_for_in_parts_that_tile_it() -> None:
    whole = Span(START, START + 1_000 * DAY)
    first, last = START + 400 * DAY, START + 500 * DAY
    before, *parts = silences(whole, timeline_of(first, last, whole=whole), proven=100 * DAY)
    assert before == Span(START, first - 1)
    after = sorted(span for span in parts if span.start > last)
    assert (after[0].start, after[-1].stop) == (last + 2, whole.stop)
    earlier = sorted(span for span in parts if span.stop < first)
    assert (earlier[0].start, earlier[-1].stop) == (START, before.stop - 100 * DAY)
    for some in (after, earlier):
        assert all(one.stop == other.start for one, other in pairwise(some))
        assert all(span.seconds <= 100 * DAY for span in some)


@pytest.mark.parametrize(("rows", "sent", "spare"), [(0, 1, 3), (500, 3, 2), (20_000, 43, 1), (20_000, 60, -16)])
def test_what_the_promise_leaves_for_silences(rows: int, sent: int, spare: int) -> None:
    assert spare_requests(rows=rows, page_size=500, sent=sent) == spare
