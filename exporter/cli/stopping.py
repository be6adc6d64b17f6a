"""What ends a command early: signals, and failures that know some figures of their export."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RESUMES = "what is certified is kept; the same command resumes"


class Stopped(BaseException):
    """The user, or the system, asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}")
        self.exit_code = 128 + number


class Failed(Exception):  # noqa: N818  # it wraps an error: the cause
    """An export that failed, with the figures that are known; the error is its cause."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.facts = facts


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Raise `Stopped` on the signals that ask to stop; one that the caller ignores (nohup) stays ignored."""
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _raise) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)
