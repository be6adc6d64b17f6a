"""A limit of the system is called by its name, and is no bug of ours: exit 3, the same command resumes."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from exporter.cli.limits import FILES, MEMORY, THREADS, Limit, limit_of
from exporter.cli.reporting import Reporting, current, report_failure
from exporter.errors import ConfigError, DiskError


def caused(error: Exception, by: BaseException) -> Exception:
    error.__cause__ = by
    return error


CASES = [
    (MemoryError(), MEMORY),
    (pa.ArrowMemoryError("malloc of size 12 failed"), MEMORY),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), MEMORY),
    (RuntimeError("can't start new thread"), THREADS),
    (OSError(errno.EMFILE, "Too many open files"), FILES),
    (ImportError("libarrow.so: cannot open shared object file: Too many open files"), FILES),
    (caused(DiskError("spool: could not open"), OSError(errno.EMFILE, "Too many open files")), FILES),
    (ExceptionGroup("tasks", [ValueError(), RuntimeError("can't start new thread")]), THREADS),
]


@pytest.mark.parametrize(("error", "limit"), CASES, ids=lambda value: str(value)[:30])
def test_a_limit_is_named_whatever_it_is_wrapped_in(
    error: Exception, limit: Limit, capsys: pytest.CaptureFixture[str]
) -> None:
    current.set(Reporting(tokens=[]))
    assert report_failure(error) == 3
    shown = capsys.readouterr().err
    assert f"may not have more {limit.name}" in shown
    assert limit.command in shown
    assert "bug" not in shown


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("y"), OSError(errno.EPIPE, "z"), ConfigError("a")])
def test_other_errors_are_no_limit(error: Exception) -> None:
    assert limit_of(error) is None
    assert limit_of(caused(error, error)) is None


def test_a_process_with_few_files_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "exporter", "run", str(tmp_path / "orders"), "--base-url", "http://127.0.0.1:9"]

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))

    ended = subprocess.run(
        command, preexec_fn=few, env={"DUOPLUS_API_KEY": "k"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3, ended.stderr
    assert "open files" in ended.stderr
    assert "ulimit -n" in ended.stderr
