"""Storm whole exports for some minutes: kill, stop and damage them at random, then let the same command finish.

Run: python -m benchmarks.storm [seconds] [seed]. Each export must end with the bytes of an undisturbed one, whatever
was done to it; no process may end with a traceback, or an exit code that the README does not list; and damage to a
finished result must be found. Prints what was done and what came of it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import Simulator, serving
from tests.exporting import digests

ROWS = 6_000
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
LANES = 3
"""Exports at a time: most of a process's life is its start."""

DISTURBANCES = 12
"""An export is left alone after being disturbed this often."""


class Storm:
    """Exports of one simulated server, disturbed at random; `counts` says how often what happened."""

    def __init__(
        self, simulator: Simulator, folder: Path, random: Random, counts: Counter[str], faults: list[str]
    ) -> None:
        self._simulator = simulator
        self._folder = folder
        self._random = random
        self.counts = counts
        self.faults = faults

    async def export(self, number: int, calm: dict[str, dict[str, str]]) -> None:
        """Make one export, a folder or a file, to its end, and compare it with an undisturbed one."""
        name = self._random.choice(["orders", "orders.parquet"])
        out = self._folder / str(number) / name
        out.parent.mkdir()
        self.counts["exports"] += 1
        for _ in range(DISTURBANCES):
            if await self._run_disturbed(out) in {0, 4}:  # done; or a spool that only --fresh helps against
                break
        for _ in range(3):
            code, text = await self._finish(out)
            if code == 0:
                break
            if code in {4, 5} and "--fresh" in text:
                self.counts["spools too damaged to read, dropped with --fresh"] += 1
                await self._finish(out, "--fresh")
        found = digests(out) if out.is_dir() else digests_of(out)
        if found == calm[name]:
            self.counts["ended in the same bytes"] += 1
        else:
            self.faults.append(f"export {number}: {found} instead of {calm[name]}")
        left = sorted(path.name for path in out.parent.iterdir() if path.name.startswith("."))
        if left:
            self.faults.append(f"export {number}: {left} is left over")
        await self._damage_result(number, out)
        shutil.rmtree(out.parent)

    async def _run_disturbed(self, out: Path) -> int:
        process = await self.start(out)
        acts: list[tuple[str, Callable[[Process, Path], None]]] = [
            ("killed", lambda process, _: process.kill()),
            ("killed", lambda process, _: process.kill()),
            ("stopped by a signal", self._stop),
            ("stopped by a burst of signals", self._burst),
            ("work folder removed while it ran", lambda _, work: shutil.rmtree(work, ignore_errors=True)),
            ("lock removed while it ran", lambda _, work: (work / "lock").unlink(missing_ok=True)),
            ("spool damaged while it ran", lambda _, work: self._damage_file(work / "spool")),
            ("another run started beside it", lambda *_: beside.append(asyncio.ensure_future(self._finish(out)))),
        ]
        beside: list[asyncio.Future[tuple[int, str]]] = []
        name, act = self._random.choice(acts)
        work = out.with_name(f".{out.name}.exporter")
        done: list[str] = []

        def now() -> None:
            if process.returncode is None:
                act(process, work)
                done.append(name)

        # While Python still imports, before the first request, a signal is Python's own affair.
        if self._random.random() < 0.2 and name == "killed":
            asyncio.get_running_loop().call_later(self._random.uniform(0.0, 0.6), now)
        else:
            self._at_request(self._random.randint(1, 40), now)
        _, stderr = await process.communicate()
        self._at_request(0, lambda: None)
        for other in beside:
            self._judge("another run", *await other)
        code = process.returncode
        assert code is not None
        for one in done:
            self.counts[one] += 1
        self._judge(", ".join(done) or "undisturbed", code, stderr.decode())
        if code != 0:
            self._damage_work(work)
        return code

    def _judge(self, what: str, code: int, text: str) -> None:
        """Note an ending that no kind of disturbance explains."""
        self.counts[f"exit {code}"] += 1
        allowed = {0, -signal.SIGKILL, 2, 3, 4, 5, *SIGNALS.values(), *(-number for number in SIGNALS)}
        if code not in allowed or "Traceback" in text or "this is a bug" in text:
            self.faults.append(f"{what}: exit {code}\n{text}")

    def _stop(self, process: Process, _: Path) -> None:
        process.send_signal(self._random.choice(list(SIGNALS)))

    def _burst(self, process: Process, _: Path) -> None:
        loop = asyncio.get_running_loop()
        for _again in range(self._random.randint(2, 8)):
            loop.call_later(self._random.uniform(0, 0.05), self._send, process, self._random.choice(list(SIGNALS)))

    def _send(self, process: Process, number: signal.Signals) -> None:
        if process.returncode is None:
            process.send_signal(number)

    def _damage_work(self, work: Path) -> None:
        """Sometimes do something to the work of a run that ended."""
        if not work.is_dir() or self._random.random() < 0.6:
            return
        what = self._random.choice(["spool cut or changed", "parts removed", "result planted", "lock removed"])
        if what == "spool cut or changed":
            self._damage_file(work / "spool")
        elif what == "parts removed":
            shutil.rmtree(work / "result", ignore_errors=True)
        elif what == "result planted":
            (work / "result").mkdir(exist_ok=True)
            (work / "result" / "_manifest.json").write_text('{"format": 1}')
        else:
            (work / "lock").unlink(missing_ok=True)
        self.counts[f"{what} between runs"] += 1

    def _damage_file(self, path: Path) -> None:
        if not path.exists():
            return
        size = path.stat().st_size
        at = self._random.randrange(max(1, size))
        with path.open("r+b") as file:
            if self._random.random() < 0.5:
                file.truncate(at)
            else:
                file.seek(at)
                file.write(self._random.randbytes(self._random.randint(1, 64)))

    async def _damage_result(self, number: int, out: Path) -> None:
        """Change one byte of a finished result: verify must find it."""
        files = sorted(path for path in out.parent.rglob("*") if path.is_file())
        path = self._random.choice(files)
        content = bytearray(path.read_bytes())
        content[self._random.randrange(len(content))] ^= 1 << self._random.randrange(8)
        path.write_bytes(content)
        process = await self._python("verify", str(out))
        _, stderr = await process.communicate()
        self.counts["bytes of results changed"] += 1
        if process.returncode in {4, 5} and b"Traceback" not in stderr:
            self.counts["changed bytes found by verify"] += 1
        else:
            self.faults.append(f"export {number}: verify ended with {process.returncode} after a change of {path}")

    async def _finish(self, out: Path, *more: str) -> tuple[int, str]:
        process = await self.start(out, *more)
        _, stderr = await process.communicate()
        assert process.returncode is not None
        return process.returncode, stderr.decode()

    async def start(self, out: Path, *more: str) -> Process:
        """Start a run of the one command that all of this is about."""
        return await self._python(
            *("run", str(out), "--base-url", self._simulator.url, "--rate", "1000000", "--quiet", *more),
            *("--start", "2020-01-01", "--end", "2026-01-01", "--segment-pages", "5", "--page-size", "50"),
        )

    async def _python(self, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exporter", *arguments),
            env={**os.environ, "DUOPLUS_API_KEY": self._simulator.options.key},
            stdout=DEVNULL,
            stderr=PIPE,
        )

    def _at_request(self, number: int, action: Callable[[], None]) -> None:
        """Do something when the given request from now on arrives, before it is answered."""
        (team,) = self._simulator.teams.values()
        decide, left = type(team).decide, number

        def counting(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                action()
            return decide(team, *arguments)

        team.decide = counting  # type: ignore[assignment, method-assign]


def digests_of(out: Path) -> dict[str, str]:
    """Return the checksum of a result in one file."""
    return {name: digest for name, digest in digests(out.parent).items() if name == out.name}


async def storm(seconds: float, seed: int) -> int:
    """Storm for some time, in lanes with a server each; return the number of faults."""
    until = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    faults: list[str] = []

    async def lane(number: int) -> None:
        folder = Path(name) / str(number)
        folder.mkdir()
        async with serving(SimulatorOptions(rows=ROWS)) as simulator:
            one = Storm(simulator, folder, Random(seed * LANES + number), counts, faults)
            calm = {}
            for kind in ("orders", "orders.parquet"):
                out = folder / "calm" / kind
                process = await one.start(out)
                await process.communicate()
                assert process.returncode == 0
                calm[kind] = digests(out) if out.is_dir() else digests_of(out)
            for export in count():
                if time.monotonic() > until:
                    break
                await one.export(export, calm)
                print(f"\r{counts['exports']} exports, {len(faults)} faults", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_STATE_HOME"] = str(Path(name) / "state")
        await asyncio.gather(*map(lane, range(LANES)))
    print(file=sys.stderr)
    for what, times in sorted(counts.items()):
        print(f"{times:6,} {what}")
    for fault in faults:
        print(f"FAULT {fault}")
    return len(faults)


if __name__ == "__main__":
    sys.exit(
        bool(asyncio.run(storm(float(sys.argv[1]) if len(sys.argv) > 1 else 240.0, int((sys.argv[2:] or ["1"])[0]))))
    )
