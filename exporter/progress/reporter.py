"""Pass an export's events on: count them, show them, log them."""

from __future__ import annotations

import datetime as dt
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.errors import ConfigError
from exporter.events import Event, Repaired, Started
from exporter.progress.displays import Display
from exporter.progress.messages import message
from exporter.progress.tally import Tally
from exporter.progress.teams_tally import TeamsTally
from exporter.progress.text import API_TIMEZONE, in_zone

SHARE = 0.02
"""The display's share of the time: that of thousands of teams takes milliseconds to add up."""


class ProgressReporter:
    """Take an export's events. A display that can't be written any more is given up: the export does not need it."""

    def __init__(
        self,
        display: Display | None,
        *,
        log_file: Path | None = None,
        verbose: bool = False,
        timezone: str = API_TIMEZONE,
        tally: Tally | TeamsTally | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = tally or Tally()
        self.repairs: list[str] = []
        self._display, self._log_file, self._verbose, self._clock = display, log_file, verbose, clock
        self._timezone = timezone
        self._next_show = -math.inf
        self._is_late = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        now = self._clock()
        self.tally.take(event, now)
        if self._log_file is not None and (entry := self._message(event, verbose=True)):
            log(self._log_file, entry)
        if isinstance(event, Repaired):
            self.repairs.append((self._message(event) or "").removeprefix("repaired "))
        if text := self._message(event, verbose=self._verbose):
            self._on_display(lambda display: display.say(text))
        self._show(now, must=isinstance(event, Started))

    def _show(self, now: float, *, must: bool) -> None:
        """Bring the display up to date, unless that would take more than its share of the time; or if it must."""
        self._is_late = now < self._next_show and not must
        if not self._is_late:
            self._on_display(lambda display: display.show(self.tally, now))
            self._next_show = now + (self._clock() - now) / SHARE

    def _message(self, event: Event, *, verbose: bool = False) -> str | None:
        text = message(event, verbose=verbose)
        return None if text is None else in_zone(text, self._timezone)

    @property
    def shows(self) -> bool:
        """Whether there is a display that can still be written."""
        return self._display is not None

    def close(self) -> None:
        """Leave the display as a reader wants to find it."""
        if self._is_late:
            self._on_display(lambda display: display.show(self.tally, self._clock()))
        self._on_display(lambda display: display.close())

    def _on_display(self, act: Callable[[Display], None]) -> None:
        if self._display is not None:
            try:
                act(self._display)
            except (OSError, ValueError):  # ValueError: the stream was closed
                self._display = None


@contextmanager
def watching(
    display: Display | None,
    *,
    log_file: Path | None = None,
    verbose: bool = False,
    opening: str = "an export begins",
    timezone: str = API_TIMEZONE,
    tally: Tally | TeamsTally | None = None,
) -> Iterator[ProgressReporter]:
    """Give a `ProgressReporter` for one run; `opening` is the first line of its log, times are shown in `timezone`.

    Raise ConfigError if the log can't be written.
    """
    if log_file is not None:
        try:
            append(log_file, opening)
        except OSError as error:
            raise ConfigError(f"the log file {log_file} can't be written", hint="check --log-file") from error
    reporter = ProgressReporter(display, log_file=log_file, verbose=verbose, timezone=timezone, tally=tally)
    try:
        yield reporter
    finally:
        reporter.close()


def log(path: Path, text: str) -> None:
    """Add a line to a log; a log that can't be written any more stops nothing."""
    with suppress(OSError):
        append(path, text)


def append(path: Path, text: str) -> None:
    """Add a line to a log, with the moment; raise OSError if it can't be written."""
    moment = dt.datetime.now().astimezone().isoformat(timespec="seconds")
    with open(path, "a", encoding="utf-8", opener=_private) as file:  # Path.open has no opener
        file.write(f"{moment} {text}\n")


def _private(path: str, flags: int) -> int:
    """Open a file that, if it is new, this user alone can read: a log names orders and places."""
    return os.open(path, flags, 0o600)
