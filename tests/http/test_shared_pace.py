"""Exports on one machine with one key share one pace, and none of them can harm the others for long."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from exporter.events import Event, Noticed
from exporter.http import shared_pace
from exporter.http.client import Client
from exporter.http.shared_pace import HUNG, LONGEST_PAUSE, POLITE, RETRY, FilePace
from exporter.vendor.orders import PageRequest
from tests.http.fake_transport import FakeTransport, settings
from tests.virtual_time import run

pytestmark = pytest.mark.usefixtures("stack")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as exits:
        yield exits


@pytest.fixture
def two(tmp_path: Path, stack: ExitStack) -> tuple[FilePace, FilePace]:
    first, second = (joined(tmp_path, stack) for _ in range(2))
    return first, second


def joined(folder: Path, stack: ExitStack, seen: list[Event] | None = None, **changes: Any) -> FilePace:
    events: list[Event] = [] if seen is None else seen
    pace = shared_pace.join(settings(**changes), on_event=events.append, folder=folder)
    assert pace is not None
    stack.callback(pace.close)
    return pace


def leave(pace: FilePace, at: float) -> None:
    assert pace.take(at) == at
    pace.left(at)


def test_a_slot_taken_by_one_is_a_gap_for_the_other(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    leave(first, 100.0)
    assert second.take(100.2) == 101.0
    leave(second, 101.0)
    assert first.take(101.5) == 102.0


def test_while_one_leaves_the_other_tries_again_soon(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    assert first.take(100.0) == 100.0
    assert second.take(100.0) == 100.0 + RETRY
    first.left(100.001)
    assert second.take(100.002) == 101.001


def test_who_left_last_lets_the_other_go_first(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    leave(first, 100.0)
    leave(second, 101.0)
    assert second.take(102.0) == 102.0 + POLITE
    leave(first, 102.0)
    leave(first, 120.0)
    assert first.take(121.0) == 121.0


def test_a_pause_is_for_all(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    leave(first, 100.0)
    first.pause(130.0)
    assert second.take(101.0) == 130.0
    assert first.take(101.0) == 130.0
    leave(second, 130.0)


def test_a_pause_between_slot_and_departure_is_told_with_the_departure(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    assert first.take(100.0) == 100.0
    assert first.pause(130.0)
    first.left(100.0)
    assert second.take(101.0) == 130.0


def test_a_pause_that_could_not_be_told_is_said_so(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    assert first.take(100.0) == 100.0
    assert not second.pause(130.0)
    first.left(100.0)
    assert second.pause(130.0)
    assert first.take(101.0) == 130.0


def test_a_fast_pace_leases_slots_for_a_moment(tmp_path: Path, stack: ExitStack) -> None:
    first, second = (joined(tmp_path, stack, rate=100.0) for _ in range(2))
    for slot in range(5):
        leave(first, 100 + slot / 96)
        assert second.take(100 + slot / 96) > 100.05
    leave(first, 100.25)
    assert second.take(100.26) == pytest.approx(100.302), "an unused lease ends by itself"
    leave(second, 100.5)
    for slot in range(1, 5):
        leave(second, 100.5 + slot / 100)
    assert first.take(100.545) == pytest.approx(100.55), "a used one ends with its last departure"


def test_other_keys_and_hosts_have_paces_of_their_own(tmp_path: Path, stack: ExitStack) -> None:
    leave(joined(tmp_path, stack), 100.0)
    leave(joined(tmp_path, stack, api_key="another"), 100.0)
    leave(joined(tmp_path, stack, base_url="http://127.0.0.1:1"), 100.0)
    assert len(list(tmp_path.glob("*.json"))) == 3
    written = "".join(str(path) + path.read_text() for path in tmp_path.iterdir())
    assert "the-secret-key" not in written
    assert "another" not in written


@pytest.mark.parametrize("rest", ["", "{", '{"left": 3}', "null", '{"left":{"x":"y"},"paused_until":0}', "\0" * 100])
def test_a_torn_file_costs_nothing(tmp_path: Path, stack: ExitStack, rest: str) -> None:
    first, second = (joined(tmp_path, stack) for _ in range(2))
    leave(first, 100.0)
    (path,) = tmp_path.glob("*.json")
    path.write_text(rest)
    leave(second, 101.0)
    assert first.take(101.5) == 102.0


def test_a_departure_in_the_future_is_of_another_boot_and_counts_nothing(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    leave(first, 500_000.0)
    leave(second, 60.0)
    assert first.take(60.5) == 61.0


def test_a_killed_holder_does_no_harm(tmp_path: Path, stack: ExitStack) -> None:
    pace = joined(tmp_path, stack)
    (path,) = tmp_path.glob("*.json")
    program = (
        "import sys, time; from pathlib import Path; from exporter.http.shared_pace import FilePace\n"
        "pace = FilePace(Path(sys.argv[1]), gap=1.0, on_event=print)\n"
        "print(pace.take(100.0), flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "100.0\n"
        assert pace.take(100.0) == 100.0 + RETRY
        holder.kill()
        holder.wait()
    leave(pace, 100.1)


def test_a_hung_holder_is_passed_after_a_moment(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    assert first.take(100.0) == 100.0
    assert second.take(100.0) > 100.0
    assert second.take(100.0 + HUNG) == 100.0 + HUNG
    second.left(100.0 + HUNG)
    first.left(101.5)
    assert second.take(102.0) == 102.5


@pytest.mark.parametrize("place", ["file", "nowhere"])
def test_a_folder_that_cannot_be_written_is_told_and_the_export_goes_alone(tmp_path: Path, place: str) -> None:
    seen: list[Event] = []
    if place == "file":
        (tmp_path / "file").write_text("not a folder")
    folder = tmp_path / "file" / "pace" if place == "file" else Path("/proc/nowhere")
    assert shared_pace.join(settings(), on_event=seen.append, folder=folder) is None
    (notice,) = seen
    assert isinstance(notice, Noticed)
    assert "can't be shared" in notice.message


def test_a_disk_that_fails_later_is_told_once_and_the_export_goes_alone(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Event] = []
    pace = joined(tmp_path, stack, seen)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for second in range(3):
        leave(pace, 100.0 + second)
    pace.pause(200.0)
    leave(pace, 150.0)
    assert [type(event) for event in seen] == [Noticed]


def test_without_a_pace_there_is_nothing_to_share(tmp_path: Path) -> None:
    assert shared_pace.join(settings(rate=1e6), on_event=print, folder=tmp_path / "pace") is None
    assert not (tmp_path / "pace").exists()


def test_files_of_ended_exports_are_removed(tmp_path: Path, stack: ExitStack) -> None:
    joined(tmp_path, stack, api_key="old")
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    joined(tmp_path, stack)
    assert len(list(tmp_path.glob("*.json"))) == 2, "they are looked for once a process, not once a team"
    shared_pace._forget.cache_clear()
    joined(tmp_path, stack)
    assert len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.parametrize("rate", [1.0, 20.0, 100.0, 500.0])
def test_two_clients_alternate_and_together_keep_the_pace(tmp_path: Path, stack: ExitStack, rate: float) -> None:
    transports = FakeTransport(), FakeTransport()

    async def story() -> None:
        async def work(transport: FakeTransport) -> None:
            pace = joined(tmp_path, stack, rate=rate)
            async with Client(settings(rate=rate), transport=transport, shared=pace) as client:
                await asyncio.gather(*(client.ask(PageRequest(first=0, last=1)) for _ in range(200)))

        await asyncio.gather(*(work(transport) for transport in transports))

    run(story())
    together = sorted(transports[0].departures + transports[1].departures)
    gaps = [later - earlier for earlier, later in pairwise(together)]
    assert min(gaps) >= 0.9999 / rate
    assert 399 / (together[-1] - together[0]) >= 0.9 * rate
    ends = [transport.departures[-1] - together[0] for transport in transports]
    assert max(ends) - min(ends) <= 0.1 * max(ends)


@pytest.mark.parametrize("until", [100.0 + LONGEST_PAUSE + 1, 1e12])
def test_a_pause_that_nobody_can_mean_is_ignored_and_removed(tmp_path: Path, stack: ExitStack, until: float) -> None:
    first, second = (joined(tmp_path, stack) for _ in range(2))
    first.pause(until)
    assert second.take(100.0) == 100.0
    second.left(100.0)
    (path,) = tmp_path.glob("*.json")
    assert orjson.loads(path.read_bytes())["paused_until"] == 0
    assert joined(tmp_path, stack).take(102.0) == 102.0


def test_a_pause_of_ten_minutes_is_for_all(two: tuple[FilePace, FilePace]) -> None:
    first, second = two
    leave(first, 100.0)
    first.pause(101.0 + LONGEST_PAUSE)
    assert second.take(101.0) == 101.0 + LONGEST_PAUSE


def test_another_export_s_long_pause_is_reported(tmp_path: Path, stack: ExitStack) -> None:
    seen: list[Event] = []
    joined(tmp_path, stack).pause(1_300.0)

    async def story() -> float:
        shared = joined(tmp_path, stack)
        async with Client(settings(), transport=FakeTransport(), shared=shared, on_event=seen.append) as client:
            await client.ask(PageRequest(first=0, last=1))
        return asyncio.get_running_loop().time()

    assert 1_300 < run(story()) < 1_301
    assert [event.message for event in seen if isinstance(event, Noticed)] == [
        "no request leaves for 300 s: the server, or another export with this key, asked for a pause"
    ]
