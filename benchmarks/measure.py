"""Measure a command from before its process starts until it is gone: seconds, CPU, memory of all its processes.

Memory is the largest sum of the proportional set sizes (PSS: shared pages are counted once) that a look at all
processes of the command found, five times a second, and at least the largest resident set of a single one of them,
which the kernel keeps without gaps. Linux only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO

LOOK_EVERY = 0.2
"""Seconds. A look at 1.5 GB takes 8 ms: often enough to see a peak, seldom enough not to make one slower."""
SESSION_FIELD = 3
"""The index of the session in `/proc/PID/stat`, counted after the name, which may contain blanks."""


class BrokenError(Exception):
    """A command failed; the text says how."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a command took."""

    seconds: float
    cpu_seconds: float
    """User and system, of all its processes."""
    memory: int
    """Bytes at most, of all its processes."""


def run(command: Sequence[str | Path], *, environment: Mapping[str, str], log: Path, patience: float) -> Measured:
    """Run a command to its end; raise BrokenError if it fails or takes more than `patience` seconds."""
    with log.open("wb") as output:
        return _run(command, environment, output, log, patience)


def _run(
    command: Sequence[str | Path], environment: Mapping[str, str], output: IO[bytes], log: Path, patience: float
) -> Measured:
    gone, peak = Event(), [0]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )
    watcher = Thread(target=_watch, args=(process.pid, gone, peak, start + patience))
    watcher.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    except BaseException:
        _kill(process.pid)
        raise
    finally:
        gone.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(errors="replace").strip().splitlines()
        raise BrokenError("\n".join([f"exit {process.returncode} after {seconds:.1f} s", *said[-20:]]))
    return Measured(
        seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, memory=max(peak[0], usage.ru_maxrss * 1024)
    )


def _watch(session: int, gone: Event, peak: list[int], deadline: float) -> None:
    while not gone.wait(LOOK_EVERY):
        peak[0] = max(peak[0], sum(_memory(process) for process in _processes(session)))
        if time.perf_counter() > deadline:
            _kill(session)


def _processes(session: int) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[SESSION_FIELD]) == session:
                found.append(process)
    return found


def _memory(process: Path) -> int:
    with suppress(OSError):
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _kill(session: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


def machine() -> str:
    """Say what this machine is, in one line."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else os.uname().machine
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(str(number) for number in sys.version_info[:3])
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {os.uname().release}, Python {python}"
