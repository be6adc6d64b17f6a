"""Measure exports of many teams in one process: use of each team's rate, refusals, memory, CPU.

    python benchmarks/teams.py [--teams N ...] [--rows N] [--rate R] [--save NAME]

The server has a process of its own, a key and a limit for each team. The use of a team's rate is the number of gaps
between its requests over what the rate allowed between its first request and its last. CPU is compared with that of one
team of a million orders without a limit, in the same run. Then the same export is begun again and stopped by Ctrl-C
after half of its time: the seconds until the process is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import measure
import report

from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart

HEADS = (
    "teams",
    "orders each",
    "use of the rate",
    "refused",
    "peak memory, MB",
    "CPU s a million",
    "against one",
    "seconds",
    "stopped within",
)
ALONE = 1_000_000
EXIT_STOPPED = 130


Command = tuple[list[str | Path], dict[str, str]]


def command_for(folder: Path, url: str, options: SimulatorOptions, *, rate: float) -> Command:
    """Return the command that exports all teams of a server, and its environment."""
    environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    command: list[str | Path] = [sys.executable, "-m", "exporter", "run", folder / "out", "--base-url", url, "--quiet"]
    command += ["--rate", str(rate), "--end", "2025-12-31T23:00:00+08:00"]
    if options.teams == 1:
        environ["DUOPLUS_API_KEY"] = options.key
    else:
        config = folder / "teams.toml"
        lines = []
        for number, key in enumerate(options.keys()):
            environ[f"KEY_{number}"] = key
            lines.append(f'[teams.t{number:05d}]\napi-key-env = "KEY_{number}"')
        config.write_text("\n".join(lines))
        command += ["--config", config]
    return command, environ


def seconds_to_stop(options: SimulatorOptions, *, rate: float, after: float) -> float:
    """Return how long an export took to end that Ctrl-C stopped `after` seconds after its start."""
    with tempfile.TemporaryDirectory() as name, serving_apart(options) as url:
        command, environ = command_for(Path(name), url, options, rate=rate)
        with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
            time.sleep(after)
            process.send_signal(signal.SIGINT)
            began = time.perf_counter()
            if (code := process.wait()) != EXIT_STOPPED:
                raise measure.BrokenError(f"exit {code} in place of {EXIT_STOPPED}")
    return time.perf_counter() - began


def measured(
    options: SimulatorOptions, *, rate: float, patience: float = 1_800.0
) -> tuple[measure.Measured, dict[str, Any]]:
    """Return what an export of all teams took, and the server's statistics of each."""
    with tempfile.TemporaryDirectory() as name, serving_apart(options) as url:
        folder = Path(name)
        command, environ = command_for(folder, url, options, rate=rate)
        taken = measure.run(command, environment=environ, log=folder / "log", patience=patience)
        with urllib.request.urlopen(f"{url}/statistics") as response:
            statistics = json.load(response)
    return taken, statistics.get("teams") or {options.key: statistics}


def use_of(statistics: dict[str, Any], rate: float) -> float:
    """Return the share of the allowed rate that a team's requests used, from its first to its last."""
    gaps = statistics["gaps"]
    return 1.0 if gaps is None else 1 / (gaps["mean"] * rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teams", type=int, nargs="+", default=[20, 100, 200])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.md and .json")
    arguments = parser.parse_args()
    alone, _ = measured(SimulatorOptions(rows=ALONE), rate=1e6)
    one = alone.cpu_seconds / (ALONE / 1e6)
    lines = [
        ("1", f"{ALONE:,}", "–", "–", report.megabytes(alone.memory), f"{one:.1f}", "1.00", f"{alone.seconds:.1f}", "–")
    ]
    data: dict[str, Any] = {
        "alone": {"cpu_seconds": alone.cpu_seconds, "memory": alone.memory, "seconds": alone.seconds}
    }
    for teams in arguments.teams:
        options = SimulatorOptions(rows=arguments.rows, teams=teams, rate=arguments.rate)
        taken, each = measured(options, rate=arguments.rate)
        uses = [use_of(statistics, arguments.rate) for statistics in each.values()]
        requests = sum(statistics["requests"] for statistics in each.values())
        refused = sum(statistics["refused"] for statistics in each.values())
        million = taken.cpu_seconds / (teams * arguments.rows / 1e6)
        facts = {
            "use": sum(uses) / len(uses),
            "refused": refused / requests,
            "memory": taken.memory,
            "cpu_seconds_a_million": million,
            "seconds": taken.seconds,
            "seconds_to_stop": seconds_to_stop(options, rate=arguments.rate, after=taken.seconds / 2),
        }
        data[str(teams)] = facts
        lines.append(
            (
                f"{teams:,}",
                f"{arguments.rows:,}",
                f"{facts['use']:.3f}",
                f"{facts['refused']:.2%}",
                report.megabytes(taken.memory),
                f"{million:.1f}",
                f"{million / one:.2f}",
                f"{taken.seconds:.1f}",
                f"{facts['seconds_to_stop']:.1f} s",
            )
        )
        print(lines[-1], file=sys.stderr)
    text = report.table(HEADS, lines, texts=())
    text += (
        f"\nEach once, at {arguments.rate:g} requests a second a team, counted as a minimum gap. {measure.machine()}.\n"
    )
    print(text)
    if arguments.save:
        report.save(arguments.save, "Many teams in one process", text, data)


if __name__ == "__main__":
    main()
