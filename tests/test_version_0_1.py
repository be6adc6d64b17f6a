"""Results and unfinished work of version 0.1 open, verify, report their state and are resumed.

The fixtures were made by that version from the simulator: 400 orders of seed 1, pages of 20, segments of three pages.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import exporter
from exporter import export as conductor
from exporter.config.options import Settings
from exporter.http.client import Client
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import Simulator, serving
from exporter.store import status
from exporter.store.disk import Disk
from exporter.store.spool import Spool
from exporter.store.status import State
from exporter.store.verify import verify
from exporter.vendor.orders import PageResponse, second_of
from tests.exporting import assert_exact, files_below, held, identities, settings_for

FIXTURES = Path(__file__).parent / "fixtures" / "version_0_1"
ADDRESS = "http://127.0.0.1:8765"
ROWS = 400
PAGE = 20
FINISHED = ["orders", "orders.parquet"]


@pytest.fixture
async def simulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    """The same orders at another port; the query says the one that the fixtures were made at."""
    query_of = conductor.query_of
    monkeypatch.setattr(conductor, "query_of", lambda settings: {**query_of(settings), "base_url": ADDRESS})
    async with serving(SimulatorOptions(rows=ROWS, seed=1)) as simulator:
        yield simulator


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The fixtures in a place of their own, the unfinished work where that version kept it, and as open as it did."""
    shutil.copytree(FIXTURES, tmp_path / "results")
    work = tmp_path / "results" / ".unfinished.exporter"
    (tmp_path / "results" / "unfinished").rename(work)
    work.chmod(0o755)
    (work / "lock").write_bytes(b'{"pid":1,"host":"gone","since":"2026-01-01T00:00:00+00:00"}')
    return tmp_path / "results"


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in files_below(folder)}


def settings(simulator: Simulator, **options: Any) -> Settings:
    return settings_for(simulator, page_size=PAGE, segment_pages=3, **options)


@pytest.mark.parametrize("name", FINISHED)
async def test_a_finished_result_opens_and_verifies(results: Path, simulator: Simulator, name: str) -> None:
    out = results / name
    assert (exporter.open(out).rows, exporter.open(out).complete) == (ROWS, True)
    manifest = verify(out)
    assert (manifest.rows, manifest.run.requests, manifest.run.totals) == (ROWS, 24, "exact")
    assert_exact(out, simulator)


@pytest.mark.parametrize("name", FINISHED)
async def test_the_same_query_finds_it_complete_and_sends_nothing(
    results: Path, simulator: Simulator, name: str
) -> None:
    files = content(results)
    summary = await conductor.export(results / name, settings(simulator))
    assert (summary.complete, summary.rows, summary.requests) == (True, ROWS, 0)
    assert simulator.statistics.requests == 0
    assert content(results) == files


async def test_unfinished_work_is_resumed(results: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    ask = Client.ask

    async def watched(self: Client, *arguments: Any, **options: Any) -> PageResponse:
        response = await ask(self, *arguments, **options)
        seen.extend(map(second_of, response.records))
        return response

    monkeypatch.setattr(Client, "ask", watched)
    out = results / "unfinished"
    with Disk().read_only(results / ".unfinished.exporter" / "spool") as file:
        committed = Spool(file).segments
    before = status(out)
    assert before.state is State.UNFINISHED
    assert before.progress is not None
    assert (before.progress.rows, before.progress.segments) == (118, 2)
    summary = await conductor.export(out, settings(simulator))
    assert (summary.complete, summary.rows) == (True, ROWS)
    assert summary.requests <= 28, "15 pages, those where segments meet, and looks at both edges of the range"
    assert sum(second < committed[-1].span.stop for second in seen) < PAGE, "a page shows the team; no more comes again"
    manifest = verify(out)
    assert manifest.complete
    assert list(manifest.segments[:2]) == committed, "what was committed is not asked for again"
    assert_exact(out, simulator)
    assert identities(held(out)) == identities(held(results / "orders"))


def test_status_reads_all_three(results: Path) -> None:
    assert {name: str(status(results / name).state) for name in [*FINISHED, "unfinished"]} == {
        "orders": "complete",
        "orders.parquet": "complete",
        "unfinished": "unfinished",
    }


def test_the_fixtures_are_what_their_manifest_says() -> None:
    """A change by mistake (line ends, a filter of the version control) is not taken for a change of this program."""
    part = json.loads((FIXTURES / "orders" / "_manifest.json").read_bytes())["parts"][0]
    for path in (FIXTURES / "orders" / "part-00000.parquet", FIXTURES / "orders.parquet"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == part["sha256"]
