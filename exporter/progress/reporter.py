"""Pass an export's events on: count them, show them, log them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.errors import ConfigError
from exporter.events import Event, Repaired
from exporter.progress.displays import Display
from exporter.progress.messages import message
from exporter.progress.tally import Tally


class ProgressReporter:
    """Take an export's events. A display that can't be written any more is given up: the export does not need it."""

    def __init__(
        self,
        display: Display | None,
        *,
        log_file: Path | None = None,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self.repairs: list[str] = []
        self._display, self._log_file, self._verbose, self._clock = display, log_file, verbose, clock

    def __call__(self, event: Event) -> None:
        """Take one event."""
        now = self._clock()
        self.tally.take(event, now)
        if self._log_file is not None and (entry := message(event, verbose=True)):
            log(self._log_file, entry)
        if isinstance(event, Repaired):
            self.repairs.append((message(event) or "").removeprefix("repaired "))
        if text := message(event, verbose=self._verbose):
            self._on_display(lambda display: display.say(text))
        self._on_display(lambda display: display.show(self.tally, now))

    @property
    def shows(self) -> bool:
        """Whether there is a display that can still be written."""
        return self._display is not None

    def close(self) -> None:
        """Leave the display as a reader wants to find it."""
        self._on_display(lambda display: display.close())

    def _on_display(self, act: Callable[[Display], None]) -> None:
        if self._display is not None:
            try:
                act(self._display)
            except (OSError, ValueError):  # ValueError: the stream was closed
                self._display = None


@contextmanager
def watching(
    display: Display | None, *, log_file: Path | None = None, verbose: bool = False, opening: str = "an export begins"
) -> Iterator[ProgressReporter]:
    """Give a `ProgressReporter` for one run; `opening` is the first line of its log.

    Raise ConfigError if the log can't be written.
    """
    if log_file is not None:
        try:
            append(log_file, opening)
        except OSError as error:
            raise ConfigError(f"the log file {log_file} can't be written", hint="check --log-file") from error
    reporter = ProgressReporter(display, log_file=log_file, verbose=verbose)
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
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{moment} {text}\n")
