"""The first signal stops a command; those that follow disturb neither its cleaning up nor its report."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from exporter.cli.event_loop import until_stopped
from exporter.cli.stopping import Stopped, signals_raise
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import serving
from tests.test_kill import at_request

PATIENCE = 10.0


def test_a_second_signal_is_ignored_while_the_first_is_reported() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    reported = False
    with signals_raise():
        with pytest.raises(Stopped) as caught:
            signal.raise_signal(signal.SIGTERM)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        reported = True
    assert reported
    assert caught.value.exit_code == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_comes_while_an_object_is_freed_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    """What is raised in a finalizer, Python prints and drops."""

    class Freed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def wait() -> None:
        Freed()
        gc.collect()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            pass

    with signals_raise(), pytest.raises(Stopped) as caught:
        wait()
    assert caught.value.exit_code == 143
    assert capfd.readouterr().err == ""


def test_signals_during_the_cleaning_up_of_a_loop_change_nothing() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(PATIENCE)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.raise_signal(number)
            await asyncio.sleep(0)
            cleaned.append("to the end")

    with signals_raise():
        with pytest.raises(Stopped) as caught:
            until_stopped(work())
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 130
    assert cleaned == ["to the end"]


@pytest.mark.parametrize("line", range(3))
def test_a_signal_within_the_handler_of_another_does_not_undo_it(line: int) -> None:
    """Python runs the handler of a second signal between any two lines of the first one's."""
    reached: list[int] = []

    def interrupt(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_name != "stop":
            return None
        if event == "line" and len(reached) <= line:
            reached.append(frame.f_lineno)
            if len(reached) > line:
                signal.raise_signal(signal.SIGTERM)
        return interrupt

    async def work() -> None:
        sys.settrace(interrupt)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            sys.settrace(before)
        await asyncio.sleep(PATIENCE / 10)

    before = sys.gettrace()
    with signals_raise(), pytest.raises(Stopped):
        until_stopped(work())
    assert len(reached) == line + 1


async def test_bursts_of_signals_leave_no_traceback(tmp_path: Path) -> None:
    random = Random(3)
    async with serving(SimulatorOptions(rows=20_000, latency=0.01)) as simulator:
        for number in range(4):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "exporter", "run", str(tmp_path / str(number)), "--base-url", simulator.url),
                *("--rate", "1000000", "--start", "2020-01-01", "--end", "2026-01-01", "--page-size", "50", "--quiet"),
                env={**os.environ, "DUOPLUS_API_KEY": simulator.options.key},
                stdout=DEVNULL,
                stderr=PIPE,
            )
            begun = asyncio.Event()
            at_request(simulator, random.randint(1, 20), begun.set)
            await begun.wait()
            for _ in range(random.randint(2, 6)):
                if process.returncode is None:
                    process.send_signal(random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
            _, stderr = await process.communicate()
            assert b"Traceback" not in stderr, stderr.decode()
            assert b"Exception ignored" not in stderr, stderr.decode()
            # a signal that comes after the export's own handlers ends the process as it ends any other
            assert stderr.count(b"error: stopped by") == 1 or (process.returncode or 0) < 0
            assert process.returncode in {129, 130, 143, -signal.SIGHUP, -signal.SIGINT, -signal.SIGTERM}
