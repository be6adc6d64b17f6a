"""Add up an export's events, and tell them: to a screen, and on demand to a log file.

What a reader should know at once is a message of its own.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exporter.errors import ConfigError
from exporter.events import Answered, Committed, Event, Finished, Noticed, Refused, Repaired, Retried, Started
from exporter.progress.text import counted, duration
from exporter.vendor.orders import wire_time

AFTER_PAGES = 2
"""Requests that follow the pages: the tail and the last comparison of totals."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the events of one run came to. `since` is when its first answer came, in seconds of any steady clock."""

    since: float | None = None
    total: int | None = None
    before: int = 0
    """Orders committed by earlier runs."""
    committed: int = 0
    expected: int | None = None
    """Requests that an undisturbed run still needs, at its start."""
    requests: int = 0
    rate: float = 1.0
    refused: int = 0
    retried: int = 0
    repaired: int = 0
    complete: bool = False

    def take(self, event: Event, now: float) -> None:
        """Count one event."""
        match event:
            case Started():
                self.since, self.rate, self.total = now, event.rate, event.total
                self.before = self.committed = event.committed
                if event.requests_ideal is not None and event.total:
                    left = max(0, event.total - event.committed) / event.total
                    self.expected = self.requests + round(event.requests_ideal * left) + AFTER_PAGES
            case Answered():
                self.requests = event.requests
            case Refused():
                self.refused += 1
            case Retried():
                self.retried += 1
            case Repaired():
                self.repaired += 1
            case Committed():
                self.committed = event.total_rows
            case Finished():
                self.committed, self.complete = event.rows, event.complete
            case Noticed():
                pass

    @property
    def fetched(self) -> int:
        """Orders that have come, as far as requests tell before their segment is committed."""
        if self.complete or not self.total or not self.expected:
            return self.committed
        share = min(1.0, self.requests / self.expected)
        return max(self.committed, int(self.before + (self.total - self.before) * share))

    def speed(self, now: float) -> float:
        """Return requests a second so far; the rate that was asked for, until there is something to measure."""
        elapsed = now - self.since if self.since is not None else 0.0
        return self.requests / elapsed if elapsed > 1 and self.requests > 1 else self.rate

    def left(self, now: float) -> float | None:
        """Seconds until the end: requests left at this run's speed."""
        if self.expected is None or self.complete:
            return None
        return max(0, self.expected - self.requests) / min(self.rate, self.speed(now))

    def text(self, now: float) -> str:
        """Say all of it on one line."""
        of_all = f" of {self.total:,}" if self.total is not None else ""
        parts = [f"{self.fetched:,}{of_all} orders", counted(self.requests, "request"), f"{self.speed(now):,.1f}/s"]
        if (left := self.left(now)) is not None:
            parts.append(f"{duration(left)} left")
        named = {"refused": self.refused, "retried": self.retried, "repaired": self.repaired}
        return ", ".join(parts + [f"{count} {name}" for name, count in named.items() if count])

    def facts(self) -> dict[str, Any]:
        """Return what is known when a run fails, by the names of the summary."""
        return {
            "rows": self.committed,
            "requests": self.requests,
            "retries": self.retried,
            "rate_limited": self.refused,
            "repaired_segments": self.repaired,
        }


def message(event: Event, *, verbose: bool = False) -> str | None:  # noqa: PLR0911  # one return a kind of event
    """Return what a reader should know at once about an event, or None; `verbose` tells of every event but pages."""
    match event:
        case Noticed():
            return event.message
        case Repaired():
            span = f"[{wire_time(event.start)}, {wire_time(event.stop)})"
            return f"repaired {span} by {event.by}: {event.reason}"
        case Retried() if verbose or event.attempt > 2:
            return f"attempt {event.attempt} failed, the next in {event.pause:.1f} s: {event.reason}"
        case Refused() if verbose:
            return f"refused as too frequent; the next request in {event.pause:.1f} s"
        case Started() if verbose:
            return f"{event.total} orders expected, {event.committed} there, {event.windows} windows, {event.rate:g}/s"
        case Committed() if verbose:
            return f"certified [{wire_time(event.start)}, {wire_time(event.stop)}): {event.rows} orders"
        case Finished() if verbose:
            return f"finished: {event.rows} orders, {'complete' if event.complete else 'not complete'}"
        case _:
            return None


class Screen(Protocol):
    """Where progress shows."""

    def show(self, tally: Tally, now: float) -> None:
        """Bring it up to date."""

    def say(self, text: str) -> None:
        """Put one message where it stays."""

    def close(self) -> None:
        """Leave the screen as a reader wants to find it."""


class ProgressReporter:
    """Take an export's events: count them, show them, write them to the log."""

    def __init__(
        self, screen: Screen | None, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.tally = Tally()
        self.repairs: list[str] = []
        self._screen, self._verbose, self._clock = screen, verbose, clock
        self.log: Callable[[str], None] | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        now = self._clock()
        self.tally.take(event, now)
        if self.log is not None and (entry := message(event, verbose=True)):
            self.log(entry)
        if isinstance(event, Repaired):
            self.repairs.append((message(event) or "").removeprefix("repaired "))
        if self._screen is not None:
            if text := message(event, verbose=self._verbose):
                self._screen.say(text)
            self._screen.show(self.tally, now)


@contextmanager
def watching(
    screen: Screen | None, *, log_file: Path | None = None, verbose: bool = False
) -> Iterator[ProgressReporter]:
    """Give a `Progress` for one run; at the end close the screen and the log."""
    with ExitStack() as stack:
        progress = ProgressReporter(screen, verbose=verbose)
        if screen is not None:
            stack.callback(screen.close)
        if log_file is not None:
            try:
                log = stack.enter_context(log_file.open("a", encoding="utf-8"))
            except OSError as error:
                raise ConfigError(f"the log file {log_file} can't be written", hint="check --log-file") from error
            progress.log = lambda text: print(
                f"{dt.datetime.now().astimezone().isoformat(timespec='seconds')} {text}", file=log, flush=True
            )
        yield progress
