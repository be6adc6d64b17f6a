"""Drive Debian's Chromium by its DevTools protocol: open a page, hear what it complains of, ask it, look at it.

Run as a program it installs Chromium where that is possible, and says so where it is not.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAME = "chromium"
PATIENCE = 60.0
"""Seconds that anything in the browser may take."""

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]


class Tab:
    """One page in the browser. `complaints` are console errors and exceptions; `requests` are the addresses asked."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        """Take what the browser says until it closes."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
                continue
            given = said["params"]
            match said["method"]:
                case "Page.loadEventFired":
                    self.loaded.set()
                case "Network.requestWillBeSent":
                    self.requests.append(given["request"]["url"])
                case "Runtime.exceptionThrown":
                    self.complaints.append(str(given["exceptionDetails"]))
                case "Runtime.consoleAPICalled":
                    self.complaints.append(str(given["args"]))
                case "Log.entryAdded":
                    self.complaints.append(given["entry"]["text"])

    async def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        await self._socket.send_json({"id": self._number, "method": method, "params": given})
        said = await asyncio.wait_for(answer, PATIENCE)
        assert "error" not in said, f"{method}: {said['error']}"
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, file: Path) -> None:
        """Open a file and wait until all of it is there."""
        self.loaded.clear()
        await self.send("Page.navigate", url=file.as_uri())
        await asyncio.wait_for(self.loaded.wait(), PATIENCE)

    async def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to; the page's policy does not apply to it."""
        done = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    async def resize(self, width: int, height: int) -> None:
        """Set the size of the window in CSS pixels."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def dark(self, *, on: bool) -> None:
        """Prefer dark colours, or light ones."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[feature])

    async def screenshot(self, **given: Any) -> bytes:
        """Return a PNG of the page."""
        return base64.b64decode((await self.send("Page.captureScreenshot", **given))["data"])

    async def printed(self) -> bytes:
        """Return the page as a PDF, as its print style has it."""
        done = await self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(done["data"])


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """Start a browser with a new, empty profile and give its tab."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            NAME, *QUIET, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE
        )
        background: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(PATIENCE):
                assert process.stderr is not None
                port = await _port(process.stderr)
            background.append(asyncio.create_task(_discard(process.stderr)))
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                    pages = [page for page in await response.json() if page["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = Tab(socket)
                    background.append(asyncio.create_task(tab.listen()))
                    for domain in ("Page", "Network", "Runtime", "Log"):
                        await tab.send(f"{domain}.enable")
                    yield tab
        finally:
            process.terminate()
            await process.wait()
            for task in background:
                task.cancel()


async def _port(said: asyncio.StreamReader) -> str:
    """Return the port that the browser chose, once it says so."""
    async for line in said:
        if found := re.search(rb"DevTools listening on ws://[^:]+:(\d+)/", line):
            return found[1].decode()
    raise RuntimeError("the browser did not start")


async def _discard(said: asyncio.StreamReader) -> None:
    async for _ in said:
        pass


def main() -> int:
    """Install Chromium if it is missing and we are root."""
    if shutil.which(NAME):
        return 0
    if os.geteuid() or not shutil.which("apt-get"):
        print("these tests need Chromium: apt-get install chromium, or the like", file=sys.stderr)  # noqa: T201
        return 1
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", NAME, "fonts-dejavu-core"], check=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
