"""Serve from a child process, for tests and benchmarks whose own process must not be disturbed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import dumps
from subprocess import PIPE, Popen

from exporter.simulator.options import SimulatorOptions

_PROGRAM = (
    "import pickle, sys; from exporter.simulator.server import run; "
    "run(pickle.loads(bytes.fromhex(sys.argv[1])), attached=True)"
)


@contextmanager
def serving_apart(options: SimulatorOptions | None = None) -> Iterator[str]:
    """Start a server in another process; yield its URL once it is ready; stop it at the end, even if killed."""
    command = [sys.executable, "-c", _PROGRAM, dumps(options or SimulatorOptions()).hex()]
    with Popen(command, text=True, stdin=PIPE, stdout=PIPE) as process:  # noqa: S603 - our own program
        try:
            assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the simulator stopped before it was ready")
            yield url
        finally:
            process.terminate()
