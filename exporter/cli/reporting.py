"""Report to stderr, and failures to the log and as JSON; losing stderr stops no command."""

from __future__ import annotations

import errno
import json
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from exporter.cli.limits import limit_of
from exporter.cli.stopping import RESUMES, Failed, Stopped
from exporter.errors import DiskError, ExportError

PLEASE_REPORT = "this is a bug in exporter: please report it with the command and what --verbose prints"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@dataclass(kw_only=True)
class Reporting:
    """How one command reports: as its arguments say, and more exactly once its options are read."""

    tokens: Sequence[str]
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    log_file: Path | None = None
    timezone: str | None = None
    """The zone of the times that are shown to a person; None: the API's own."""
    opened: bool = field(default=False)
    """The log begins with this command already."""

    @classmethod
    def of(cls, tokens: Sequence[str], environ: Mapping[str, str]) -> Reporting:
        """Return what can be known before the options are read: a wrong option is reported as the others ask for."""
        log_file = environ.get("EXPORTER_LOG_FILE")
        for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
            name, _, value = token.partition("=")
            if name == "--log-file":
                log_file = value or following
        return cls(
            tokens=tokens,
            json="--json" in tokens or bool(environ.get("EXPORTER_JSON")),
            verbose="--verbose" in tokens,
            log_file=Path(log_file).expanduser() if log_file else None,
        )

    @property
    def opening(self) -> str:
        """The first line of a command in its log: version and arguments, without what a URL may hide."""
        from importlib.metadata import version

        from exporter.vendor.foreign_text import without_credentials

        return f"exporter {version('duoplus-exporter')}: exporter {without_credentials(shlex.join(self.tokens))}"


current: ContextVar[Reporting] = ContextVar("reporting")


def localized(text: str) -> str:
    """Return a text with its moments in the time zone that the user asked for."""
    timezone = current.get().timezone
    if timezone is None:
        return text
    from exporter.progress.text import in_zone

    return in_zone(text, timezone)


def with_hint(error: ExportError) -> str:
    """Return an error as one of several is shown: its message and, in parentheses, its hint."""
    return f"{error} ({error.hint})" if error.hint else str(error)


def say(line: str) -> None:
    """Write a line to stderr, if there is one."""
    with suppress(OSError, ValueError):
        print(localized(line), file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Write a warning to stderr, unless the command is to be quiet."""
    if not current.get().quiet:
        say(f"warning: {line}")


def report_failure(error: BaseException) -> int:
    """Report an error on stderr, in the log, and with `--json` on stdout too; return the exit code."""
    how = current.get()
    facts: Mapping[str, Any] = {}
    if isinstance(error, Failed):
        facts, error = error.facts, error.__cause__ or error
    code, message, hint = _explained(error)
    lines = [f"error: {message}"]
    if isinstance(error, ExportError) and (cause := _cause(error)):
        lines.append(f"cause: {cause}")
    if hint:
        lines.append(f"hint: {hint}")
    if how.verbose and not isinstance(error, Stopped):
        say("".join(traceback.format_exception(error)).rstrip())
    for line in lines:
        say(line)
    _log(how, f"exit {code}: {'; '.join(lines)}")
    if how.json and not _is_lost_stdout(error):
        facts = {"complete": False, **facts, "error": message, "hint": hint, "exit": code}
        with suppress(OSError):
            print(json.dumps(facts, ensure_ascii=False), flush=True)
    return code


def _explained(error: BaseException) -> tuple[int, str, str]:
    """Return exit code, message and hint of an error.

    The cases:
    - one of the exporter's own errors: its message, cause, hint and exit code
    - a signal: what is committed stays
    - a limit of the system, of memory, threads or open files: what is committed stays
    - stdout that can't be written: a result is written elsewhere, and its errors are `DiskError`
    - anything else is a bug
    """
    message = str(error) or type(error).__name__
    if isinstance(error, ExportError) and not limit_of(error):
        return error.exit_code, message, error.hint or ""
    if isinstance(error, Stopped):
        return error.exit_code, message, RESUMES
    if limit := limit_of(error):
        hint = f"raise the limit ({limit.command}) and run the same command again"
        return DiskError.exit_code, f"this process may not have more {limit.name}: {message}", hint
    if _is_lost_stdout(error):
        hint = "make room where it is written to, and run the command again"
        return DiskError.exit_code, f"stdout could not be written: {error.strerror}", hint
    return 1, f"{type(error).__name__}: {message}", PLEASE_REPORT


def _is_lost_stdout(error: BaseException) -> TypeGuard[OSError]:
    """Return whether stdout can't be written: a result is written elsewhere, and its errors are `DiskError`."""
    return isinstance(error, OSError) and error.errno in _FULL


def _log(how: Reporting, text: str) -> None:
    if how.log_file is not None:
        from exporter.progress.reporter import log

        if not how.opened:
            log(how.log_file, how.opening)
        log(how.log_file, text.replace("\n", " "))


def _cause(error: ExportError) -> str | None:
    """Return the cause of an error, unless its message says the same already."""
    cause = error.__cause__
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause or "")
    return text if text and text.casefold() not in str(error).casefold() else None
