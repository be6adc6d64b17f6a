"""Let one contender export from a simulator, measure it, and check what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

from environments import HERE, RESULTS, python_of, version_of
from measure import BrokenError, Measured, run

KEY = "simulator"
PATIENCE = 60.0
"""Seconds that a contender may take whatever it does …"""
SLOWEST = 2_000
"""… and orders a second that it must reach beyond: it fails on neither but when it hangs."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A script in `contenders/` and the environment it runs in."""

    name: str
    title: str
    environment: str
    package: str
    """Whose version is shown."""

    @property
    def version(self) -> str:
        """The package and its version."""
        return f"{self.package} {version_of(python_of(self.environment), self.package)}"


BOUND = Contender(name="bound", title="bound: read + `orjson.loads`", environment="exporter", package="orjson")
EXPORTER = Contender(name="exporter_run", title="**this exporter**", environment="exporter", package="duoplus-exporter")
GATHER = Contender(name="gather_pandas", title="aiohttp `gather` + pandas", environment="pandas", package="pandas")
DLT = Contender(name="dlt_parallel", title="dlt, parallelized transformer", environment="dlt", package="dlt")
CONTENDERS = (
    BOUND,
    EXPORTER,
    GATHER,
    Contender(name="requests_pandas", title="requests + pandas", environment="pandas", package="requests"),
    Contender(name="dlt_rest_api", title="dlt, `rest_api` source", environment="dlt", package="dlt"),
    DLT,
    Contender(
        name="airbyte_manifest", title="airbyte-cdk, low-code manifest", environment="airbyte", package="airbyte-cdk"
    ),
    Contender(name="singer_parquet", title="Singer SDK tap and target", environment="singer", package="singer-sdk"),
)
QUICK = (BOUND, EXPORTER, GATHER, DLT)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one run took, and what it left."""

    measured: Measured
    requests: int
    server_cpu_seconds: float
    held: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return all of it, flat."""
        rest = {"requests": self.requests, "server_cpu_seconds": self.server_cpu_seconds}
        return {**asdict(self.measured), **rest, **self.held}


def attempt(contender: Contender, url: str, *, rows: int, options: str = "") -> Attempt:
    """Run a contender against a server of `rows` orders; raise BrokenError unless it exported all of them.

    `options` are further ones of this exporter's command.
    """
    wanted = expected(rows)
    script = HERE / "contenders" / f"{contender.name}.py"
    RESULTS.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=RESULTS, suffix=".tmp") as folder:
        out = Path(folder, "out")
        out.mkdir()
        environment = {
            **os.environ,
            "DUOPLUS_API_KEY": KEY,
            "EXPORTER_RUN_OPTIONS": options,
            "HOME": folder,
            "NO_PROXY": "127.0.0.1",
        }
        before = _statistics(url, reset=True)
        measured = run(
            [python_of(contender.environment), script, url, out],
            environment=environment,
            log=Path(folder, "log"),
            patience=PATIENCE + rows / SLOWEST,
        )
        after = _statistics(url)
        held = _check(str(out))
    for fact, value in wanted.items():
        if held.get(fact, value) != value:
            raise BrokenError(f"{fact}: {value} expected, {held[fact]} found")
    return Attempt(
        measured=measured,
        requests=after["requests"],
        server_cpu_seconds=after["cpu_seconds"] - before["cpu_seconds"],
        held=held,
    )


@cache
def expected(rows: int) -> dict[str, Any]:
    """Return rows, distinct orders and the sum of money of a simulator of `rows` orders."""
    return _check("--expected", str(rows))


def _check(*arguments: str) -> dict[str, Any]:
    command: list[str | Path] = [sys.executable, HERE / "check.py", *arguments]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    if checked.returncode:
        raise BrokenError(f"its output can't be read: {checked.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(checked.stdout))


def _statistics(url: str, *, reset: bool = False) -> dict[str, Any]:
    if reset:
        with urlopen(Request(f"{url}/statistics/reset", method="POST")):
            pass
    with urlopen(f"{url}/statistics") as response:
        return dict(json.load(response))
