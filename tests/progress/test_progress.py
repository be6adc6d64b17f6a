"""Events become a bar, lines or a log; the clock is moved by hand."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from exporter.errors import ConfigError
from exporter.events import (
    Answered,
    Committed,
    Event,
    Finished,
    FromTeam,
    Noticed,
    Refused,
    Repaired,
    Retried,
    Started,
)
from exporter.progress.displays import LINE_EVERY, Bar, Lines, display_for
from exporter.progress.messages import message
from exporter.progress.reporter import ProgressReporter, watching
from exporter.progress.tally import Tally
from exporter.progress.teams_tally import TeamsTally
from exporter.progress.text import duration, size, table

STARTED = Started(total=10_000, committed=0, requests_ideal=20, windows=1, rate=2.0)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def answered(requests: int) -> Answered:
    return Answered(requests=requests, in_flight=1, latency=0.1)


def tally(*events: tuple[float, Event]) -> Tally:
    result = Tally()
    for now, event in events:
        result.take(event, now)
    return result


def test_the_line_tells_orders_requests_rate_and_time_left() -> None:
    halfway = tally((0, STARTED), (5, answered(10)))
    assert halfway.text(5) == "3,846 of 10,000 orders, 10 requests, 2.0/s, 8.0 s left"


def test_refusals_retries_and_repairs_are_told_as_they_happen() -> None:
    disturbed = tally(
        (0, STARTED),
        (1, Refused(count=1, pause=0.5, persistent=False)),
        (2, Retried(attempt=1, reason="HTTP 502", pause=0.2)),
        (3, Repaired(start=0, stop=60, reason="totals 3 and 4", by="a seek")),
    )
    assert disturbed.text(4).endswith("1 refused, 1 retried, 1 repaired")


def test_the_time_left_goes_by_the_slower_of_rate_and_measured_speed() -> None:
    assert tally((0, STARTED), (20, answered(10))).left(20) == 32
    assert tally((0, STARTED), (2, answered(10))).left(2) == 8


def test_work_of_earlier_runs_counts_for_orders_but_not_for_requests() -> None:
    resumed = Started(total=10_000, committed=7_500, requests_ideal=5, windows=1, rate=1.0)
    assert tally((0, resumed)).text(0) == "7,500 of 10,000 orders, 0 requests, 1.0/s, 11.0 s left"


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (None, "3,846 of 10,000 orders, 10 requests, 2.0/s, 8.0 s left, 1 refused, 1 repaired"),
        (80, "3,846 of 10,000 orders, 10 requests, 2.0/s, 8.0 s left, 1 refused, 1 repaired"),
        (70, "3,846 of 10,000 orders, 10 requests, 2.0/s, 8.0 s left, 1 refused"),
        (54, "3,846 of 10,000 orders, 10 requests, 2.0/s, 8.0 s left"),
        (47, "3,846 of 10,000 orders, 10 requests, 8.0 s left"),
        (40, "3,846 of 10,000 orders, 8.0 s left"),
        (5, "3,846 of 10,000 orders"),
    ],
)
def test_a_narrow_line_leaves_out_fields_the_least_useful_first(width: int | None, line: str) -> None:
    disturbed = tally(
        (0, STARTED),
        (1, Refused(count=1, pause=0.5, persistent=False)),
        (3, Repaired(start=0, stop=60, reason="totals 3 and 4", by="a seek")),
        (5, answered(10)),
    )
    assert disturbed.text(5, width=width) == line


@pytest.mark.parametrize("columns", [50, 60, 80, 120])
def test_the_bar_is_never_cut(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, clock = Terminal(), Clock()
    monkeypatch.setattr("exporter.progress.displays._columns", lambda _: columns)
    monkeypatch.setenv("COLUMNS", str(columns))
    progress = ProgressReporter(Bar(stream), clock=clock)
    progress(Started(total=1_234_567, committed=0, requests_ideal=2_470, windows=1, rate=20.0))
    clock.now += 5
    progress(Refused(count=1, pause=0.5, persistent=False))
    progress(answered(100))
    progress.close()
    last = stream.getvalue().splitlines()[-1].rpartition("\r")[2].rstrip()
    assert len(last) <= columns
    assert last.partition("| ")[2].startswith("49,861 of 1,234,567 orders")
    assert last.endswith(("orders", "left", "refused"))


def test_the_bar_of_a_resumed_run_begins_where_the_run_does() -> None:
    stream = Terminal()
    progress = ProgressReporter(Bar(stream))
    progress(Started(total=10_000, committed=7_500, requests_ideal=5, windows=1, rate=1.0))
    first = stream.getvalue().rpartition("\r")[2]
    progress.close()
    assert first.startswith(" 75%|")
    assert "7,500 of 10,000 orders" in first


def test_the_speed_counts_no_request_from_before_the_moment_it_is_measured_from() -> None:
    updating = tally((0, answered(10)), (10, STARTED), (15, answered(20)))
    assert updating.speed(15) == 2.0


def test_teams_have_a_bar_once_all_have_begun() -> None:
    stream, clock = Terminal(), Clock()
    progress = ProgressReporter(Bar(stream), clock=clock, tally=TeamsTally(["a", "b"]))
    begun = Started(total=100, committed=20, requests_ideal=5, windows=1, rate=1.0)
    progress(FromTeam(team="a", event=answered(3)))
    progress(FromTeam(team="a", event=begun))
    first = stream.getvalue()
    clock.now += 5
    progress(FromTeam(team="b", event=begun))
    progress(FromTeam(team="b", event=answered(4)))
    progress.close()
    last = stream.getvalue().rpartition("\r")[2]
    assert "20 orders" in first
    assert "%" not in first
    assert re.match(r" \d\d%\|.*\| 0 of 2 teams, .*, 0\.8 requests/s", last)


class Lost(io.StringIO):
    """A stream that can't be written any more."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("kind", [Lines, Bar])
def test_a_display_that_is_lost_ends_no_export(kind: type[Lines | Bar]) -> None:
    with watching(kind(Lost())) as progress:
        progress(Noticed(message="note"))
        progress(STARTED)
        progress(answered(10))
        progress(Finished(rows=10_000, complete=True))
        assert not progress.shows
    assert progress.tally.complete


def test_a_log_that_is_lost_ends_no_export(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "export.log"
    log.parent.mkdir()
    with watching(None, log_file=log) as progress:
        log.unlink()
        log.parent.rmdir()
        progress(Noticed(message="note"))
        progress(Finished(rows=10_000, complete=True))
    assert progress.tally.complete


def test_orders_never_run_ahead_of_the_total_and_end_at_what_is_certified() -> None:
    beyond = tally((0, STARTED), (9, answered(27)))
    assert beyond.fetched == 10_000
    beyond.take(Finished(rows=9_999, complete=True), 10)
    assert beyond.fetched == 9_999


def test_without_a_total_there_are_counts_but_no_forecast() -> None:
    unknown = Started(total=None, committed=0, requests_ideal=None, windows=1, rate=1.0)
    assert tally((0, unknown), (2, answered(3))).text(3) == "0 orders, 3 requests, 1.0/s"


def test_lines_come_every_few_seconds_and_at_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = ProgressReporter(Lines(stream), clock=clock)
    progress(STARTED)
    for request in range(1, 20):
        clock.now += 0.5
        progress(answered(request))
    progress(Committed(start=0, stop=60, rows=10_000, total_rows=10_000))
    progress(Finished(rows=10_000, complete=True))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1 + int(9.5 / LINE_EVERY) + 1
    assert lines[-1].startswith("10,000 of 10,000 orders, 19 requests")


def test_the_bar_shows_the_same_and_messages_stay_above_it() -> None:
    stream, clock = Terminal(), Clock()
    progress = ProgressReporter(Bar(stream), clock=clock)
    progress(Noticed(message="up to 2024-12-31"))
    progress(STARTED)
    clock.now += 5
    progress(answered(10))
    progress(Repaired(start=0, stop=60, reason="totals 3 and 4", by="a seek"))
    progress(Finished(rows=10_000, complete=True))
    bar = progress._display
    assert bar is not None
    bar.close()
    shown = stream.getvalue()
    assert shown.startswith("up to 2024-12-31\n")
    assert "repaired [1970-01-01T08:00:00+08:00, 1970-01-01T08:01:00+08:00) by a seek: totals 3 and 4\n" in shown
    assert shown.endswith("\n")
    assert "100%|" in shown.splitlines()[-1]
    assert "10,000 of 10,000 orders" in shown.splitlines()[-1]


@pytest.mark.parametrize(
    ("event", "told", "told_when_verbose"),
    [
        (answered(1), False, False),
        (STARTED, False, True),
        (Retried(attempt=1, reason="HTTP 502", pause=0.2), False, True),
        (Retried(attempt=3, reason="HTTP 502", pause=0.2), True, True),
        (Refused(count=1, pause=1.0, persistent=False), False, True),
        (Committed(start=0, stop=60, rows=1, total_rows=1), False, True),
        (Noticed(message="note"), True, True),
        (Finished(rows=1, complete=True), False, True),
    ],
)
def test_only_what_a_reader_should_know_is_told_at_once(event: Event, told: bool, told_when_verbose: bool) -> None:
    assert (message(event) is not None, message(event, verbose=True) is not None) == (told, told_when_verbose)


def test_the_display_fits_its_place() -> None:
    assert isinstance(display_for(Terminal()), Bar)
    assert isinstance(display_for(io.StringIO()), Lines)
    assert display_for(Terminal(), quiet=True) is None


def test_in_a_notebook_the_bar_is_tqdms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType

    asked = []
    shell = type("ZMQInteractiveShell", (), {})()
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "IPython", ipython)
    monkeypatch.setattr("exporter.progress.displays._tqdm", lambda *, notebook: asked.append(notebook))
    display_for(io.StringIO())
    assert asked == [True]


def test_the_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "export.log"
    log.write_text("before\n")
    with watching(None, log_file=log) as progress:
        progress(Noticed(message="note"))
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1].endswith(" note")


def test_a_log_that_cant_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be written"), watching(None, log_file=tmp_path / "none" / "log"):
        pass


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (59.94, "59.9 s"), (65, "1:05"), (7384, "2:03:04"), (259_200, "3 days")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2.1e6, "2.1 MB"), (3e9, "3.0 GB")]
)
def test_sizes_read_well(count: float, text: str) -> None:
    assert size(count) == text


def test_tables_are_aligned() -> None:
    assert table([("a", "bb", "c"), ("aaa", "b", "")]) == "a    bb  c\naaa  b"


class Slow:
    """A display that takes a tenth of a second, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.shown: list[int] = []

    def show(self, tally: Tally | TeamsTally, now: float) -> None:
        self.now += 0.1
        self.shown.append(tally.fetched)

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def close(self) -> None:
        self.shown.append(-1)


def test_a_display_that_takes_long_is_shown_less_often_and_its_last_state_at_the_end() -> None:
    display = Slow()
    reporter = ProgressReporter(display, clock=lambda: display.now)
    for rows in range(1, 101):
        reporter(Committed(start=0, stop=1, rows=1, total_rows=rows))
        display.now += 0.11
    reporter.close()
    assert display.shown == [1, 46, 91, 100, -1]
