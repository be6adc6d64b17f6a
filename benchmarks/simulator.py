"""Measure how many pages of 500 the simulator serves a second: `python benchmarks/simulator.py [--rows N]`.

The server has a process of its own. The reader counts bytes and parses nothing, on a few keep-alive connections; both
share the machine, so this is what a benchmark of the exporter can get out of the server at most.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit
from urllib.request import urlopen

import orjson

from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.vendor.orders import ENDPOINT, KEY_HEADER, PageRequest

PAGE_SIZE = 500


def requests(pages: int, host: str) -> Iterator[bytes]:
    for page in range(1, pages + 1):
        body = orjson.dumps(PageRequest(first=0, last=2**32, page=page).body())
        head = [
            f"POST {ENDPOINT} HTTP/1.1",
            f"Host: {host}",
            f"{KEY_HEADER}: simulator",
            f"Content-Length: {len(body)}",
        ]
        yield "\r\n".join([*head, "", ""]).encode() + body


class Reader(asyncio.Protocol):
    """Send the next request as soon as the last response is whole."""

    def __init__(self, requests_left: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self.requests_left, self.done = requests_left, done
        self.responses = self.bytes = self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        """Send the next request, or be done."""
        request = next(self.requests_left, None)
        if request is None:
            self.done.set_result(None)
        else:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        self.bytes += len(data)
        if self.left == 0:
            head, _, body = data.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            self.left, data = int(length.split(b":")[1]), body
        self.left -= len(data)
        if self.left == 0:
            self.responses += 1
            self.ask()


async def read_all(url: str, pages: int, connections: int) -> tuple[float, int, int]:
    where = urlsplit(url)
    requests_left = requests(pages, where.netloc)
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    readers = []
    for _ in range(connections):
        factory = partial(Reader, requests_left, loop.create_future())
        _, reader = await loop.create_connection(factory, where.hostname or "", where.port or 0)
        readers.append(reader)
    await asyncio.gather(*(reader.done for reader in readers))
    elapsed = time.perf_counter() - start
    return elapsed, sum(reader.responses for reader in readers), sum(reader.bytes for reader in readers)


def cpu_seconds(url: str) -> float:
    with urlopen(f"{url}/statistics") as response:
        return float(orjson.loads(response.read())["cpu_seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pages = -(-arguments.rows // PAGE_SIZE)
    start = time.perf_counter()
    with serving_apart(SimulatorOptions(rows=arguments.rows)) as url:
        print(f"{arguments.rows:,} orders ready after {time.perf_counter() - start:.1f} s")
        for _ in range(arguments.rounds):
            before = cpu_seconds(url)
            elapsed, responses, size = asyncio.run(read_all(url, pages, arguments.connections))
            cpu = cpu_seconds(url) - before
            print(
                f"{responses / elapsed:,.0f} pages/s, {responses / cpu:,.0f} for each second of the server's CPU"
                f"  ({responses:,} pages, {size / responses / 1000:.0f} kB each)"
            )
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"server: {usage.ru_maxrss / 1024:,.0f} MB at most, {usage.ru_utime + usage.ru_stime:.1f} s of CPU")


if __name__ == "__main__":
    main()
