"""Make the README's picture of a report: `make pictures`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

import exporter
from exporter.delivery.report import write
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from tests.browser.chromium import browser

MOST_BYTES = 150_000
WIDTH, HEIGHT = 1180, 1010
WORLD = SimulatorOptions(rows=100_000, seed=7, port=8080)


async def picture(page: Path) -> bytes:
    """Return the top of a page as a PNG."""
    async with browser() as tab:
        await tab.resize(WIDTH, HEIGHT)
        await tab.open(page)
        return await tab.screenshot()


def main() -> None:
    """Export from the simulator, write the report, keep a picture of its top."""
    target = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), serving_apart(WORLD) as url:
        result = exporter.run("orders", base_url=url, api_key=WORLD.key, rate=1e6, end="2025-12-31")
        write([(None, result)], Path("orders.html"))
        content = asyncio.run(picture(Path("orders.html").resolve()))
    if len(content) > MOST_BYTES:
        sys.exit(f"the picture has {len(content):,} bytes, more than {MOST_BYTES:,}")
    target.write_bytes(content)


if __name__ == "__main__":
    main()
