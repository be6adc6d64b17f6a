"""`exporter demo` and `exporter simulate`: the simulator, with an export from it or alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from exporter.cli.app import app, chosen, command
from exporter.cli.run import export_to
from exporter.config.options import OutputOptions
from exporter.errors import ConfigError
from exporter.simulator import SimulatorOptions

DEMO_EXAMPLES = """\
Examples:
  exporter demo
  exporter demo /tmp/orders
"""
SIMULATE_EXAMPLES = """\
Examples:
  exporter simulate --rows 1000000 --rate 20 --port 8080
  exporter simulate --quirks.shuffled-ties --faults.reset 0.01
"""


@command(OutputOptions, epilogue=DEMO_EXAMPLES)
def demo(out: str = "demo", /, **given: Any) -> int:
    """Export from the simulator, with the live bar, and show the result. Needs no key and no network.

    OUT is a folder, demo/ unless it is named; the result of an earlier demonstration is replaced.
    """
    told = chosen(given).values
    folder = Path(out)
    if folder.suffix == ".parquet":
        raise ConfigError(
            f"{out} names a file, and the demonstration makes a folder", hint="for example: exporter demo demo/"
        )
    from exporter.cli.demonstration import answer, query, serving

    with serving() as made:
        export_to(folder, made, told)
    if not told["json"] and not told["quiet"]:
        print(f"\n{query(folder)}\n{answer(folder)}")
    return 0


@app.command(help_epilogue=SIMULATE_EXAMPLES, default_parameter=Parameter(negative_iterable=()))
def simulate(*, options: Annotated[SimulatorOptions, Parameter(name="*")] = SimulatorOptions()) -> int:  # noqa: B008  # it is frozen
    """Serve the API in a box in the foreground, until Ctrl-C. The URL is printed on stdout."""
    from exporter.simulator.server import run

    first, *others = options.keys()
    keys = f"its keys are {first!r} to {others[-1]!r}" if others else f"its key is {first!r}"
    print(f"{keys}; each response has the Date of its own clock; Ctrl-C ends it", file=sys.stderr)
    run(options)
    return 0
