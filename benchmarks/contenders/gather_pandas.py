"""Gather all pages with aiohttp, make one pandas frame of them, write it: the script that most people write."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pandas as pd
from endpoint import PATH, arguments, body, headers

CONCURRENCY = 10


async def main() -> None:
    url, out = arguments()
    limit = asyncio.Semaphore(CONCURRENCY)

    async def fetch(page: int) -> dict[str, Any]:
        async with limit, session.post(PATH, json=body(page)) as response:
            response.raise_for_status()
            data: dict[str, Any] = (await response.json())["data"]
            return data

    async with aiohttp.ClientSession(url, headers=headers()) as session:
        first = await fetch(1)
        others = await asyncio.gather(*(fetch(page) for page in range(2, first["total_page"] + 1)))
    orders = [order for page in (first, *others) for order in page["list"]]
    frame = pd.DataFrame(orders)
    frame["created_at"] = pd.to_datetime(frame["created_at"])
    frame.to_parquet(out / "orders.parquet")


if __name__ == "__main__":
    asyncio.run(main())
