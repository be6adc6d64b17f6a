"""Show progress: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any, Protocol, TextIO

from exporter.progress.tally import Tally
from exporter.progress.teams_tally import TeamsTally

LINE_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""
COLUMNS = 80
"""Width of a terminal that does not say its own."""


NARROWEST_BAR = 10
"""Columns of the bar itself at least; fields of its line give way to it."""
FRAME = len("100%|| ")
"""Columns around the bar and the fields."""


class Display(Protocol):
    """Where progress shows. Its methods may raise OSError."""

    def show(self, tally: Tally | TeamsTally, now: float) -> None:
        """Bring it up to date."""

    def say(self, text: str) -> None:
        """Put one message where it stays."""

    def close(self) -> None:
        """Leave it as a reader wants to find it."""


class Lines:
    """Plain lines, one every few seconds: for logs, pipes and cron."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def show(self, tally: Tally | TeamsTally, now: float) -> None:
        """Write a line when one is due, and one at the end."""
        if tally.since is not None and (now >= self._next or tally.complete):
            self._next = now + LINE_EVERY
            self.say(tally.text(now))

    def say(self, text: str) -> None:
        """Write one message as a line."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: no line is left open."""


class Bar:
    """A tqdm bar, on a terminal or in a notebook."""

    def __init__(self, stream: TextIO, *, notebook: bool = False) -> None:
        self._stream = stream
        self._kind = _tqdm(notebook=notebook)
        self._bar: Any = None

    def show(self, tally: Tally | TeamsTally, now: float) -> None:
        """Draw the bar; tqdm sees to it that this is not too often."""
        if tally.since is None:
            return
        line = tally.text(now, width=self._width())
        if self._bar is None:
            self._bar = self._kind(
                total=tally.total,
                initial=tally.fetched,
                file=self._stream,
                desc=line,
                **({"dynamic_ncols": True} if _columns(self._stream) else {"ncols": COLUMNS, "nrows": 24}),
                miniters=0,
                bar_format=_format(tally.total),
            )
        if tally.total != self._bar.total:  # that of teams is known once all have begun, and less when one fails
            self._bar.total, self._bar.bar_format = tally.total, _format(tally.total)
        self._bar.set_description_str(line, refresh=False)
        self._bar.update(tally.fetched - self._bar.n)

    def say(self, text: str) -> None:
        """Write one message above the bar."""
        self._kind.write(text, file=self._stream)

    def close(self) -> None:
        """Draw it a last time and leave it there."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()

    def _width(self) -> int:
        """Return the columns that the fields have beside the bar."""
        return (_columns(self._stream) or COLUMNS) - FRAME - NARROWEST_BAR


def _format(total: int | None) -> str:
    """Return tqdm's format of the line: without a total there is no share to draw."""
    return "{percentage:3.0f}%|{bar}| {desc}" if total else "{desc}"


def _tqdm(*, notebook: bool) -> Any:
    """Return tqdm's class, without its watching thread: progress is drawn when something happens."""
    if notebook:
        from tqdm.notebook import IProgress, tqdm_notebook  # noqa: PLC0415  # needs Jupyter

        if IProgress is not None:
            return type("tqdm", (tqdm_notebook,), {"monitor_interval": 0})
    from tqdm import tqdm  # noqa: PLC0415  # only where there is a bar

    return type("tqdm", (tqdm,), {"monitor_interval": 0})


def _columns(stream: TextIO) -> int:
    """Return the columns of a terminal; 0 where it does not know its size, as in some containers."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 0
    return size.columns if size.lines > 0 else 0


def in_notebook() -> bool:
    """Return whether this is Jupyter's kernel, where a bar is a widget."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def display_for(stream: TextIO, *, quiet: bool = False) -> Display | None:
    """Return the display that fits: none if quiet, a bar for a terminal or a notebook, else plain lines."""
    if quiet:
        return None
    notebook = in_notebook()
    return Bar(stream, notebook=notebook) if notebook or stream.isatty() else Lines(stream)
