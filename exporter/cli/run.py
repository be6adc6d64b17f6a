"""`exporter run`: the export itself."""

from __future__ import annotations

import dataclasses
import gc
import json
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from exporter.cli.app import Origin, chosen, command, environ, settings
from exporter.cli.exit_codes import SIGNALS, Failed, Stopped
from exporter.cli.summary import story
from exporter.config import sources
from exporter.config.options import ConnectionOptions, OutputOptions, QueryOptions, RunOptions, Settings
from exporter.errors import CertificateError
from exporter.progress.displays import screen_for
from exporter.progress.tally import watching
from exporter.progress.text import table

Result = TypeVar("Result")

EXAMPLES = """\
Examples:
  exporter run orders/
  exporter run orders/ --start 2024-01-01 --end 2024-12-31
  exporter run refunds.parquet --type refund --status finished,refunded
  exporter run orders/ --site mainland --config export.toml --json

Each option is also an environment variable (EXPORTER_PAGE_SIZE) and a key of a
TOML file (page-size). Flags go before the environment, that before the file.
The key comes from DUOPLUS_API_KEY or --api-key-file, never as an option.
"""


@command(QueryOptions, ConnectionOptions, RunOptions, OutputOptions, Origin, epilogue=EXAMPLES)
def run(out: str, /, **given: Any) -> int:
    """Export all orders of the range to OUT: a folder, or one file if its name ends in .parquet.

    Goes on with an unfinished export of the same query in OUT.
    """
    options = chosen(given)
    if given.get("show_settings"):
        return show_settings(options)
    export_to(Path(out), settings(options), options.values)
    return 0


def export_to(out: Path, made: Settings, told: Mapping[str, Any]) -> None:
    """Export with the progress and the report that the options of the output ask for; raise `Failed` if it fails."""
    as_json, quiet, verbose = told["json"], told["quiet"], told["verbose"]
    tune()
    from exporter.export import export

    gc.freeze()  # no look for cycles need go through what was imported, least of all while the first answer is decoded
    with watching(screen_for(sys.stderr, quiet=quiet), log_file=told["log_file"], verbose=verbose) as progress:
        try:
            summary = until_stopped(export(out, made, on_event=progress))
        except (Exception, Stopped) as error:
            raise Failed({**progress.tally.facts(), "out": str(out)}, as_json=as_json, verbose=verbose) from error
        finally:
            gc.unfreeze()
    facts = dataclasses.asdict(summary)
    if not quiet:
        print(story(summary, progress.repairs), file=sys.stderr if as_json else sys.stdout)
    if not summary.complete:
        raise Failed(facts, as_json=as_json, verbose=verbose) from CertificateError(
            f"these spans could not be certified: {', '.join(summary.uncertified)}",
            hint="--allow-uncertified wrote the result without proof for them; try again with --overwrite",
        )
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))


SWITCH_INTERVAL = 5e-5
"""Seconds that another thread waits for the event loop to give up the interpreter's lock. With Python's own 5 ms,
segments are not judged while pages are read, but after them."""

GARBAGE = 50_000
"""Objects between two looks for cycles: a page makes 500 that are in none."""


def tune() -> None:
    """Set up the process, which is the export's own, for many pages, several threads and large tables."""
    import pyarrow as pa

    gc.set_threshold(GARBAGE)
    sys.setswitchinterval(SWITCH_INTERVAL)
    with suppress(NotImplementedError):  # not in every build; of 240 MB it saves 50
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def show_settings(options: sources.Chosen) -> int:
    """Print what is in force and where each value comes from."""
    print(table(sources.shown(options, environ())))
    return 0


def until_stopped(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it; a signal that asks to stop cancels it and raises `Stopped` once it has cleaned up."""
    import asyncio

    stopped: list[int] = []

    async def main() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int) -> None:
            stopped.append(number)
            if task is not None:
                task.cancel()

        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, stop, number)
        return await work

    try:
        return asyncio.run(main())
    except BaseException as error:
        if stopped:
            raise Stopped(stopped[0]) from error
        raise
