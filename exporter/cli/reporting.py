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
from typing import Any

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
        """The first line of a command in its log: version and arguments. No argument holds a key."""
        from importlib.metadata import version

        return f"exporter {version('duoplus-exporter')}: exporter {shlex.join(self.tokens)}"


current: ContextVar[Reporting] = ContextVar("reporting")


def say(line: str) -> None:
    """Write a line to stderr, if there is one."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Write a warning to stderr, unless the command is to be quiet."""
    if not current.get().quiet:
        say(f"warning: {line}")


def report_failure(error: BaseException) -> int:
    """Report an error on stderr, in the log, and with `--json` on stdout too; return the exit code.

    The cases:
    - `Failed` holds the error of an export, and the figures that are known
    - one of the exporter's own errors: its message, cause, hint and exit code
    - a signal: what is committed stays
    - stdout that can't be written: a result is written elsewhere, and its errors are `DiskError`
    - anything else is a bug
    """
    how = current.get()
    facts: Mapping[str, Any] = {}
    if isinstance(error, Failed):
        facts, error = error.facts, error.__cause__ or error
    code, hint, as_json = 1, PLEASE_REPORT, how.json
    message = str(error) or type(error).__name__
    if isinstance(error, ExportError):
        code, hint = error.exit_code, error.hint or ""
    elif isinstance(error, Stopped):
        code, hint = error.exit_code, RESUMES
    elif isinstance(error, OSError) and error.errno in _FULL:
        code, hint, as_json = DiskError.exit_code, "make room where it is written to, and run the command again", False
        message = f"stdout could not be written: {error.strerror}"
    else:
        message = f"{type(error).__name__}: {message}"
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
    if as_json:
        facts = {"complete": False, **facts, "error": message, "hint": hint, "exit": code}
        with suppress(OSError):
            print(json.dumps(facts, ensure_ascii=False), flush=True)
    return code


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
