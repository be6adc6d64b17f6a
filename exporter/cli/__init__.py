"""The command line: a thin interface to the library. Results go to stdout, all else to stderr."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from exporter.cli import (  # noqa: F401  # each adds its command to `app`
    check,
    completion,
    convert,
    demo,
    diff,
    plan,
    publish,
    report,
    run,
    simulate,
    status,
    update,
    verify,
)
from exporter.cli.app import app, environ
from exporter.cli.reporting import Reporting, current, report_failure
from exporter.cli.stopping import Stopped, signals_raise
from exporter.errors import ConfigError

USAGE = "exporter --help shows the commands, exporter run --help the options of run"

__all__ = ["app", "entry", "main"]


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are reported, never raised."""
    tokens = sys.argv[1:] if tokens is None else list(tokens)
    current.set(Reporting.of(tokens, environ()))
    try:
        with signals_raise():
            code = _parsed(tokens)() or 0
            print(end="", flush=True)
            return code
    except CycloptsError as error:
        return report_failure(_wrong(error))
    except (BrokenPipeError, SystemExit):  # rich, which prints help and version, exits where the pipe is closed
        # The reader of our output has enough: nothing more is written, not even by Python's own flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, Stopped) as error:  # noqa: BLE001  # reported, with its exit code
        return report_failure(error)


def entry() -> NoReturn:
    """Run one command and end the process with its exit code.

    It ends at once: freeing what is left in memory would take Python 0.1 s.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # outside of `main`, Ctrl-C ends us without a traceback
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before we started: what is written there is lost
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  # open to the end
    code = main()
    with suppress(OSError):  # a command that failed has reported why
        print(end="", flush=True)
    os._exit(code)


def _parsed(tokens: list[str]) -> Callable[[], int | None]:
    """Return the command with its arguments; raise ConfigError for values that contradict each other."""
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except ValueError as error:
        raise ConfigError(str(error), hint=USAGE) from error
    return partial(command, *bound.args, **bound.kwargs)


def _wrong(error: CycloptsError) -> ConfigError:
    """Return what is wrong with a command line in our own words; cyclopts knows the nearest name."""
    error.verbose = False
    text, _, meant = str(error).partition(" Did you mean ")
    hint = f"did you mean {meant}" if meant else USAGE
    match error:
        case UnknownOptionError() | UnknownCommandError():
            return ConfigError(text.rstrip(".").replace("Unknown", "unknown"), hint=hint)
        case UnusedCliTokensError():
            extra = " ".join(error.unused_tokens or ())
            return ConfigError(f"{extra!r} is one argument too many", hint=hint)
        case MissingArgumentError() if error.argument is not None:
            return ConfigError(f"{error.argument.name} needs a value", hint=hint)
        case _:
            return ConfigError(text, hint=hint)
