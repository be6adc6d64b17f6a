"""The command line: a thin face over the library. Results go to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Literal, NoReturn

from cyclopts import CycloptsError, Parameter
from cyclopts.exceptions import MissingArgumentError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from exporter.cli.app import app, environ
from exporter.cli.convert import convert
from exporter.cli.diff import diff
from exporter.cli.exit_codes import Failed, Stopped, report, signals_raise
from exporter.cli.plan import check, plan
from exporter.cli.run import run
from exporter.cli.simulate import demo, simulate
from exporter.cli.status import status, verify
from exporter.errors import ConfigError

USAGE = "exporter --help shows the commands, exporter run --help the options of run"

__all__ = ["app", "check", "convert", "demo", "diff", "entry", "main", "plan", "run", "simulate", "status", "verify"]


@app.command(name="--install-completion")
def install_completion(
    *,
    shell: Annotated[
        Literal["bash", "zsh", "fish"] | None,
        Parameter(help="Shell to install it for. [default: the one that runs this]"),
    ] = None,
) -> int:
    """Install completion for bash, zsh or fish."""
    from cyclopts.completion.detect import ShellDetectionError

    try:
        path = app.install_completion(shell=shell)
    except (OSError, ShellDetectionError) as error:
        raise ConfigError(f"completion can't be installed: {error}", hint="name the shell with --shell") from error
    print(f"installed {path}; it works in the next shell")
    return 0


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are told, never raised."""
    tokens = sys.argv[1:] if tokens is None else list(tokens)
    as_json = "--json" in tokens or bool(environ().get("EXPORTER_JSON"))
    verbose = "--verbose" in tokens
    try:
        with signals_raise():
            code = _parsed(tokens)() or 0
            print(end="", flush=True)
            return code
    except CycloptsError as error:
        return report(_wrong(error), as_json=as_json, verbose=False)
    except Failed as failed:
        return report(failed.__cause__ or failed, as_json=failed.as_json, verbose=failed.verbose, facts=failed.facts)
    except (BrokenPipeError, SystemExit):  # rich, which prints help and version, leaves where the pipe is closed
        # Whoever read our output has enough: nothing is left to say, not even by Python's own flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, Stopped) as error:  # noqa: BLE001  # told, with its exit code
        return report(error, as_json=as_json, verbose=verbose)


def entry() -> NoReturn:
    """Run one command and end the process with its exit code.

    It ends at once: to take apart what is left in memory would take Python 0.1 s.
    """
    code = main()
    with suppress(OSError):  # a command that failed has told why; it may have had more to say
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
    said, _, meant = str(error).partition(" Did you mean ")
    hint = f"did you mean {meant}" if meant else USAGE
    match error:
        case UnknownOptionError() | UnknownCommandError():
            return ConfigError(said.rstrip(".").replace("Unknown", "unknown"), hint=hint)
        case UnusedCliTokensError():
            extra = " ".join(error.unused_tokens or ())
            return ConfigError(f"{extra!r} is one argument too many", hint=hint)
        case MissingArgumentError() if error.argument is not None:
            return ConfigError(f"{error.argument.name} needs a value", hint=hint)
        case _:
            return ConfigError(said, hint=hint)
