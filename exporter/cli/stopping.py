"""What ends a command early: signals, and failures that know some figures of their export."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
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
    """Raise `Stopped` on the first signal that asks to stop; one that the caller ignores (nohup) stays ignored.

    Those that follow are ignored: whoever presses Ctrl-C twice must not interrupt the cleaning up, nor the report.
    """
    before = {number: signal.signal(number, _raise) for number in heard()}
    hook, sys.unraisablehook = sys.unraisablehook, _raise_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def heard() -> list[signal.Signals]:
    """Return the signals that ask to stop, without those that are ignored."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def ignore_more() -> None:
    """Ignore all further signals that ask to stop."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _raise(number: int, _frame: FrameType | None) -> None:
    ignore_more()
    raise Stopped(number)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Send a signal again that came where Python drops what is raised: while it frees an object, or imports."""
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)
        return
    number = unraisable.exc_value.exit_code - 128
    signal.signal(number, _raise)
    threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
