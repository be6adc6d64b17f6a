"""Show progress: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from exporter.progress.tally import Screen, Tally

LINE_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""


class Lines:
    """Plain lines, one every few seconds: for logs, pipes and cron."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def show(self, tally: Tally, now: float) -> None:
        """Write a line when one is due, and one at the end."""
        if tally.since is not None and (now >= self._next or tally.complete):
            self._next = now + LINE_EVERY
            self.say(tally.text(now))

    def say(self, text: str) -> None:
        """Write one message as a line."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is left open."""


class Bar:
    """A tqdm bar, on a terminal or in a notebook."""

    def __init__(self, stream: TextIO, *, notebook: bool = False) -> None:
        self._stream = stream
        self._kind = _tqdm(notebook=notebook)
        self._bar: Any = None

    def show(self, tally: Tally, now: float) -> None:
        """Draw the bar; tqdm sees to it that this is not too often."""
        if tally.since is None:
            return
        if self._bar is None:
            self._bar = self._kind(
                total=tally.total,
                file=self._stream,
                desc=tally.text(now),
                **({"dynamic_ncols": True} if _has_size(self._stream) else {"ncols": 80, "nrows": 24}),
                miniters=0,
                bar_format="{percentage:3.0f}%|{bar}| {desc}" if tally.total else "{desc}",
            )
        self._bar.set_description_str(tally.text(now), refresh=False)
        self._bar.update(tally.fetched - self._bar.n)

    def say(self, text: str) -> None:
        """Write one message above the bar."""
        self._kind.write(text, file=self._stream)

    def close(self) -> None:
        """Draw it a last time and leave it standing."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()


def _tqdm(*, notebook: bool) -> Any:
    """Return tqdm's class, without its watching thread: progress is drawn when something happens."""
    if notebook:
        from tqdm.notebook import IProgress, tqdm_notebook  # noqa: PLC0415  # needs Jupyter

        if IProgress is not None:
            return type("tqdm", (tqdm_notebook,), {"monitor_interval": 0})
    from tqdm import tqdm  # noqa: PLC0415  # only where there is a bar

    return type("tqdm", (tqdm,), {"monitor_interval": 0})


def _has_size(stream: TextIO) -> bool:
    """Tell whether the terminal knows its size: some, in containers, say 0, and tqdm would draw nothing."""
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except (OSError, ValueError):
        return False


def in_notebook() -> bool:
    """Tell whether this is Jupyter's kernel, where a bar is a widget."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def screen_for(stream: TextIO, *, quiet: bool = False) -> Screen | None:
    """Return the screen that fits: none when quiet, a bar for a terminal or a notebook, else plain lines."""
    if quiet:
        return None
    notebook = in_notebook()
    return Bar(stream, notebook=notebook) if notebook or stream.isatty() else Lines(stream)
