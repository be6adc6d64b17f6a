"""A Dask scheduler and workers as processes of their own, on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from distributed import Security

HOST = "127.0.0.1"
TTL = "1s"
"""Dask makes it ten heartbeats at least, which are 5 s."""

ROOT = Path(__file__).parents[2]


class DaskProcesses:
    """A running scheduler, and the workers that were started for it."""

    def __init__(self, folder: Path, stack: ExitStack, environ: dict[str, str]) -> None:
        self._folder = folder
        self._stack = stack
        paths = os.pathsep.join(
            filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
        )  # workers import the tests' work
        self._environ = {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": TTL,
            "PYTHONPATH": paths,
            **environ,
        }
        self.workers: list[Popen[str]] = []
        self.scheduler = self._started("scheduler", "--port", "0", "--no-dashboard", "--host", HOST)
        self.address = self._said(self.scheduler, r"Scheduler at:\s+(\S+)")

    def start_workers(self, number: int) -> None:
        """Start workers, and wait until the scheduler has them."""
        begun = [
            self._started(
                *("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", HOST),
                *("--local-directory", str(self._folder)),
            )
            for _ in range(number)
        ]
        for process in begun:
            self._said(process, r"Registered to:\s+(\S+)")
        self.workers += begun

    def _started(self, kind: str, *arguments: str) -> Popen[str]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        process = Popen(command, text=True, stderr=PIPE, env=self._environ, cwd=self._folder)
        self._stack.callback(_end, process)
        return process

    @staticmethod
    def _said(process: Popen[str], pattern: str) -> str:
        """Return what a process says of itself when it is ready."""
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError("".join(lines))


def _end(process: Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@contextmanager
def dask_processes(folder: Path, **environ: str) -> Iterator[DaskProcesses]:
    """Give a scheduler; end it and its workers."""
    with ExitStack() as stack:
        yield DaskProcesses(folder, stack, environ)


def tls_environment(folder: Path) -> dict[str, str]:
    """Return variables that make Dask's processes and clients talk TLS only, with a certificate made for it."""
    made: Any = Security.temporary()
    (folder / "cert.pem").write_text(made.tls_scheduler_cert)
    (folder / "key.pem").write_text(made.tls_scheduler_key)
    (folder / "key.pem").chmod(0o600)
    prefix = "DASK_DISTRIBUTED__COMM__"
    names = {
        f"{prefix}TLS__CA_FILE": "cert.pem",
        f"{prefix}DEFAULT_SCHEME": "tls",
        f"{prefix}REQUIRE_ENCRYPTION": "true",
    }
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        names |= {f"{prefix}TLS__{role}__CERT": "cert.pem", f"{prefix}TLS__{role}__KEY": "key.pem"}
    return {name: str(folder / value) if value.endswith(".pem") else value for name, value in names.items()}


def tls_config(environ: dict[str, str]) -> dict[str, str]:
    """Return what the variables mean, as Dask's configuration of this process."""
    return {
        name.removeprefix("DASK_").lower().replace("__", ".").replace("_", "-"): value
        for name, value in environ.items()
    }
