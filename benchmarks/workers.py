"""Measure the exports of many teams on workers of Dask: one worker against two, and against halves that are fixed.

    python benchmarks/workers.py [--teams N] [--rows N] [--rounds N] [--share S] [--save NAME]

Teams have no limit, and differ in size: the k-th has the last k-th part of the orders. `--share 0.4` gives each worker
that share of a core, by a control group (Linux, root), so that a machine of two cores has enough for the server: what
is compared is then one worker of that share with two of it. Scheduler, server and the command itself are not limited.

- workers: each takes teams as long as its event loop has time for more
- halves: two commands without Dask, each with half of the teams, in the order of the file

Last it counts what Dask itself takes: tasks that do nothing, one for each of many teams.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen

import measure
import report
from distributed import Client, LocalCluster

from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart

GROUPS = Path("/sys/fs/cgroup")
PERIOD = 20_000
"""Microseconds in which a share of a core is counted."""
END = "2025-12-31T23:00:00+08:00"
DAYS = 730
KEYS = "KEY_{}"


@contextmanager
def limited(processes: list[Popen[str]], share: float) -> Iterator[None]:
    """Give each process, and those that it starts, a share of a core; 1 or more: no limit."""
    made = []
    try:
        for process in processes if share < 1 else ():
            old = (GROUPS / "cpu").is_dir()  # version 1 of control groups
            group = (GROUPS / "cpu" if old else GROUPS) / f"exporter-benchmark-{process.pid}"
            group.mkdir()
            made.append(group)
            if old:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD))
                (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD * share)))
            else:
                (group / "cpu.max").write_text(f"{int(PERIOD * share)} {PERIOD}")
            (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for group in made:
            with suppress(OSError):
                group.rmdir()


def write_teams(folder: Path, url: str, teams: int) -> dict[str, str]:
    """Write a file of teams of different sizes; return the variables with their keys."""
    lines = [f'base-url = "{url}"', "rate = 1e6", f'end = "{END}"']
    for number in range(1, teams + 1):
        days = DAYS * (number - 1) // number
        start = time.strftime("%Y-%m-%d", time.gmtime(1_767_196_800 - (DAYS - days) * 86_400))
        lines += [f"[teams.t{number:03d}]", f'api-key-env = "{KEYS.format(number)}"', f'start = "{start}"']
    (folder / "teams.toml").write_text("\n".join(lines))
    return {KEYS.format(number): f"simulator-{number}" for number in range(1, teams + 1)}


def command(folder: Path, out: str, *arguments: str) -> list[str]:
    config = ["--config", str(folder / "teams.toml"), "--quiet", "--json"]
    return [sys.executable, "-m", "exporter", "run", str(folder / out), *config, *arguments]


def ready(process: Popen[str], pattern: str) -> str:
    """Return what a process of Dask says of itself when it is ready."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found[1]
    raise measure.BrokenError("a process of Dask ended")


def by_workers(folder: Path, environ: dict[str, str], workers: int, share: float) -> tuple[float, int]:
    """Return the seconds that some workers take for all teams, and the orders."""
    dask = [sys.executable, "-m", "distributed.cli.dask_{}"]

    def start(kind: str, *arguments: str) -> Popen[str]:
        line = [part.format(kind) for part in dask]
        options = ("--no-dashboard", "--host", "127.0.0.1", *arguments)
        return Popen([*line, *options], env=environ, cwd=folder, text=True, stderr=PIPE)

    scheduler = start("scheduler", "--port", "0")
    with ExitStack() as stack:
        stack.callback(scheduler.wait)
        stack.callback(scheduler.kill)
        address = ready(scheduler, r"Scheduler at:\s+(\S+)")
        started = [start("worker", address, "--no-nanny", "--nthreads", "1") for _ in range(workers)]
        for process in started:
            ready(process, r"Registered to:\s+(\S+)")
        with limited(started, share):
            done = subprocess.run(
                command(folder, f"workers-{workers}", "--scheduler", address, "--overwrite"),
                env=environ,
                check=True,
                stdout=PIPE,
            )
    facts = json.loads(done.stdout)
    return facts["elapsed_seconds"], facts["rows"]


def by_halves(folder: Path, environ: dict[str, str], teams: int, share: float) -> tuple[float, int]:
    """Return the seconds that two processes take, each for half of the teams, and the orders."""
    names = [f"t{number:03d}" for number in range(1, teams + 1)]
    halves = names[: teams // 2], names[teams // 2 :]
    began = time.perf_counter()
    processes = [
        Popen(
            command(folder, f"half-{number}", "--overwrite", *(part for name in half for part in ("--only", name))),
            env=environ,
            stdout=PIPE,
            text=True,
        )
        for number, half in enumerate(halves)
    ]
    with limited(processes, share):
        printed = [process.communicate()[0] for process in processes]
    return time.perf_counter() - began, sum(json.loads(text)["rows"] for text in printed)


def empty_tasks(number: int) -> tuple[float, float]:
    """Return the seconds in which Dask runs tasks that do nothing, and its scheduler's memory for each in bytes."""
    status = Path("/proc/self/status")

    def resident() -> int:
        return 1024 * int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0])

    silent = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, **silent) as cluster, Client(cluster) as client:
        client.gather(client.map(abs, range(100), pure=False))
        before, began = resident(), time.perf_counter()
        futures = [client.submit(abs, one, pure=False, retries=2) for one in range(number)]
        client.gather(futures)
        return time.perf_counter() - began, (resident() - before) / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teams", type=int, default=24)
    parser.add_argument("--rows", type=int, default=200_000, help="orders of the largest team")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of a core, for each worker; 1: no limit")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks that do nothing")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.md and .json")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {"1 worker": [], "2 workers": [], "halves": []}
    with (
        tempfile.TemporaryDirectory() as name,
        serving_apart(SimulatorOptions(rows=arguments.rows, teams=arguments.teams)) as url,
    ):
        folder = Path(name)
        keys = write_teams(folder, url, arguments.teams)
        environ = {**os.environ, **keys, "XDG_STATE_HOME": str(folder / "state")}
        for _ in range(arguments.rounds):
            one, rows = by_workers(folder, environ, 1, arguments.share)
            two, _ = by_workers(folder, environ, 2, arguments.share)
            halves, _ = by_halves(folder, environ, arguments.teams, arguments.share)
            for kind, taken in zip(seconds, (one, two, halves), strict=True):
                seconds[kind].append(taken)
            print({kind: round(taken[-1], 2) for kind, taken in seconds.items()}, file=sys.stderr)
    medians = {kind: statistics.median(taken) for kind, taken in seconds.items()}
    lines = [
        (kind, f"{rows:,}", f"{median:.1f}", f"{rows / median:,.0f}", f"{medians['1 worker'] / median:.2f}")
        for kind, median in medians.items()
    ]
    text = report.table(("", "orders", "seconds", "orders/s", "times one worker"), lines)
    per_task, memory = empty_tasks(arguments.tasks)
    text += (
        f"\n{arguments.teams} teams of different sizes, medians of {arguments.rounds} rounds, each worker with "
        f"{arguments.share:g} of a core. {arguments.tasks:,} tasks that do nothing: {per_task:.1f} s, "
        f"{memory / 1000:.1f} kB each in scheduler and client. {measure.machine()}.\n"
    )
    print(text)
    if arguments.save:
        data = {"seconds": seconds, "tasks": arguments.tasks, "task_seconds": per_task, "task_bytes": memory}
        report.save(arguments.save, "Many teams on workers", text, {"rows": rows, "share": arguments.share, **data})


if __name__ == "__main__":
    main()
