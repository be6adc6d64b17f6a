"""Measure exports of many teams in one process: use of each team's rate, refusals, memory, CPU.

    python benchmarks/teams.py [--teams N ...] [--rows N] [--rate R] [--rounds N] [--save NAME]

The server has a process of its own, a key and a limit for each team. The use of a team's rate is the number of gaps
between its requests over what the rate allowed between its first request and its last. CPU is compared with that of one
team of a million orders without a limit, in the same run. Of several rounds, the least CPU of each export counts, since
whatever else the machine does only adds to it, and of all else the worst. Then the same export is begun again and
stopped by Ctrl-C after half of its time: the seconds until the process is gone.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
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
BEST: Mapping[str, Callable[[Iterable[float]], float]] = {"use": min, "cpu_seconds_a_million": min}

Command = tuple[list[str | Path], dict[str, str]]
Facts = dict[str, float]


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


def facts_of(options: SimulatorOptions, *, rate: float) -> Facts:
    """Export all teams; return what each of them, and the process, took."""
    taken, each = measured(options, rate=rate)
    return {
        "use": sum(use_of(statistics, rate) for statistics in each.values()) / len(each),
        "refused": sum(one["refused"] for one in each.values()) / sum(one["requests"] for one in each.values()),
        "memory": taken.memory,
        "cpu_seconds_a_million": taken.cpu_seconds / (options.teams * options.rows / 1e6),
        "seconds": taken.seconds,
    }


def worst(rounds: Sequence[Facts]) -> Facts:
    """Return the least use and the most of all else, but for CPU, of which the least is the least disturbed."""
    return {name: BEST.get(name, max)(facts[name] for facts in rounds) for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teams", type=int, nargs="+", default=[20, 100, 200])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.md and .json")
    arguments = parser.parse_args()
    alone: list[measure.Measured] = []
    rounds: dict[int, list[Facts]] = {teams: [] for teams in arguments.teams}
    for _ in range(arguments.rounds):
        alone.append(measured(SimulatorOptions(rows=ALONE), rate=1e6)[0])
        for teams, found in rounds.items():
            options = SimulatorOptions(rows=arguments.rows, teams=teams, rate=arguments.rate)
            found.append(facts_of(options, rate=arguments.rate))
            print(teams, found[-1], alone[-1].cpu_seconds, file=sys.stderr)
    one = min(taken.cpu_seconds for taken in alone) / (ALONE / 1e6)
    memory, seconds = max(taken.memory for taken in alone), max(taken.seconds for taken in alone)
    lines = [("1", f"{ALONE:,}", "–", "–", report.megabytes(memory), f"{one:.1f}", "1.00", f"{seconds:.1f}", "–")]
    data: dict[str, Any] = {"alone": {"cpu_seconds": one, "memory": memory, "seconds": seconds}}
    for teams, found in rounds.items():
        facts = worst(found)
        options = SimulatorOptions(rows=arguments.rows, teams=teams, rate=arguments.rate)
        stopped = seconds_to_stop(options, rate=arguments.rate, after=facts["seconds"] / 2)
        data[str(teams)] = facts | {"seconds_to_stop": stopped}
        lines.append(
            (
                f"{teams:,}",
                f"{arguments.rows:,}",
                f"{facts['use']:.3f}",
                f"{facts['refused']:.2%}",
                report.megabytes(int(facts["memory"])),
                f"{facts['cpu_seconds_a_million']:.1f}",
                f"{facts['cpu_seconds_a_million'] / one:.2f}",
                f"{facts['seconds']:.1f}",
                f"{stopped:.1f} s",
            )
        )
    text = report.table(HEADS, lines, texts=())
    text += (
        f"\nOf {arguments.rounds} rounds, at {arguments.rate:g} requests a second a team, counted as a minimum gap. "
        f"{measure.machine()}.\n"
    )
    print(text)
    if arguments.save:
        report.save(arguments.save, "Many teams in one process", text, data)


if __name__ == "__main__":
    main()
