"""Say what went wrong, as a person and as a program read it, and leave with the exit code that fits."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from exporter.errors import DiskError, ExportError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GOES_ON = "what is certified is kept; the same command goes on"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
REPORT = "this is a bug in exporter: please report it with the command and what --verbose prints"


class Stopped(BaseException):
    """The user, or the system, asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}")
        self.exit_code = 128 + number


class Failed(Exception):  # noqa: N818  # it wraps an error: the cause
    """A command that failed, with the figures that it knows so far."""

    def __init__(self, facts: Mapping[str, Any], *, as_json: bool, verbose: bool) -> None:
        super().__init__()
        self.facts, self.as_json, self.verbose = facts, as_json, verbose


def report_failure(
    error: BaseException, *, as_json: bool, verbose: bool, facts: Mapping[str, Any] | None = None
) -> int:
    """Tell an error on stderr, and with `as_json` on stdout too; return the exit code."""
    code, hint = 1, REPORT
    message = str(error) or type(error).__name__
    if isinstance(error, ExportError):
        code, hint = error.exit_code, error.hint or ""
    elif isinstance(error, Stopped):
        code, hint = error.exit_code, GOES_ON
    elif isinstance(error, OSError) and error.errno in _FULL:
        # What happens to the files of a result is a DiskError.
        code, hint, as_json = DiskError.exit_code, "see where it goes, and ask again", False
        message = f"stdout could not be written: {error.strerror}"
    else:
        message = f"{type(error).__name__}: {message}"
    if verbose and not isinstance(error, Stopped):
        traceback.print_exception(error)
    _say(f"error: {message}")
    cause = str(error.__cause__ or "")
    if isinstance(error, ExportError) and cause and cause not in message:
        _say(f"cause: {cause}")
    if hint:
        _say(f"hint: {hint}")
    if as_json:
        facts = {"complete": False, **(facts or {}), "error": message, "hint": hint, "exit": code}
        print(json.dumps(facts, ensure_ascii=False), flush=True)
    return code


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


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
