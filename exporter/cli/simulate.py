"""`exporter simulate`: the API in a box."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from exporter.cli.app import app
from exporter.cli.reporting import say
from exporter.errors import ConfigError
from exporter.simulator import SimulatorOptions

EXAMPLES = """\
Examples:
  exporter simulate --rows 1000000 --rate 20 --port 8080
  exporter simulate --quirks.shuffled-ties --faults.reset 0.01
"""


@app.command(help_epilogue=EXAMPLES, default_parameter=Parameter(negative_iterable=()))
def simulate(*, options: Annotated[SimulatorOptions, Parameter(name="*")] = SimulatorOptions()) -> int:  # noqa: B008  # it is frozen
    """Serve the API in a box in the foreground, until Ctrl-C. The URL is printed on stdout."""
    from exporter.simulator.server import run

    first, *others = options.keys()
    keys = f"its keys are {first!r} to {others[-1]!r}" if others else f"its key is {first!r}"
    say(f"{keys}; each response has the Date of its own clock; Ctrl-C ends it")
    try:
        run(options)
    except BrokenPipeError:
        raise
    except ValueError as error:  # of --records
        raise ConfigError(str(error)) from error
    except OSError as error:
        # asyncio words it with the address as a tuple; numbers below 0 are those of a name that was not found
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError(
            f"the simulator can't listen on {options.host}, port {options.port}: {reason}",
            hint="--port 0 takes any free port",
        ) from None  # whose text has the address as a tuple
    return 0
