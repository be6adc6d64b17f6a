"""Fetch pages in dlt's thread pool, by a parallelized transformer over the page numbers, and load them to Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.sources.helpers import requests
from dlt_rest_api import pipeline
from endpoint import PATH, arguments, body, headers

THREADS = 8


def main() -> None:
    url, out = arguments()
    client = requests.Client()  # a session for each thread

    def fetch(page: int) -> dict[str, Any]:
        response = client.post(url + PATH, json=body(page), headers=headers())
        response.raise_for_status()
        data: dict[str, Any] = response.json()["data"]
        return data

    @dlt.resource
    def pages() -> Iterator[int]:
        yield from range(1, fetch(1)["total_page"] + 1)

    @dlt.transformer(data_from=pages, parallelized=True, write_disposition="append")
    def orders(page: int) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = fetch(page)["list"]
        return listed

    dlt.config["extract.workers"] = THREADS
    pipeline(out).run(orders, loader_file_format="parquet")


if __name__ == "__main__":
    main()
