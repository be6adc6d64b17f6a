"""The forecast of a run, by the events that the engine really emits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.events import MORE_THAN_PAGES, Answered, Committed, Event, Resumed, Started
from exporter.export import export
from exporter.progress.tally import Tally
from exporter.simulator import SimulatorOptions
from exporter.simulator.server import serving
from tests.exporting import settings_for

ROWS = 4_000
PAGE = 50


class Enough(Exception):  # noqa: N818  # no error
    """The run is to stop here."""


@pytest.mark.parametrize("held", [0, 1_000, 2_000, 3_400])
async def test_the_bar_and_the_time_left_are_true_from_the_first_request_to_the_last(held: int, tmp_path: Path) -> None:
    """An earlier run committed `held` orders or a few more; at one request a second, a request is a second."""

    def until_held(event: Event) -> None:
        if isinstance(event, Committed) and event.total_rows >= held:
            raise Enough

    events: list[Event] = []
    async with serving(SimulatorOptions(rows=ROWS, seed=7)) as simulator:
        settings = settings_for(simulator, page_size=PAGE, segment_pages=4, windows=1)
        if held:
            with pytest.raises(Enough):
                await export(tmp_path / "orders", settings, on_event=until_held)
        await export(tmp_path / "orders", settings, on_event=events.append)
    last = max(at for at, event in enumerate(events) if isinstance(event, Committed))
    pages = max(event.requests for event in events[:last] if isinstance(event, Answered))
    committed = sum(event.rows for event in events if isinstance(event, Resumed))
    assert committed >= held
    assert pages < (ROWS - committed) / PAGE + 8

    tally = Tally()
    for at, event in enumerate(events):
        now = float(tally.requests)
        tally.take(replace(event, rate=1.0) if isinstance(event, Started) else event, now)
        if tally.since is not None and isinstance(event, Answered) and at < last:
            left = pages - tally.requests
            assert tally.left(now + 1) == pytest.approx(left + MORE_THAN_PAGES, abs=5)
            assert tally.fetched == pytest.approx(ROWS - left * PAGE, abs=8 * PAGE)
            assert tally.fetched < ROWS or not left
    assert (tally.committed, tally.complete) == (ROWS, True)
