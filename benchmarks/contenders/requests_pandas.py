"""Ask page after page in one requests session, make one pandas frame of them, write it."""

from __future__ import annotations

from itertools import count
from typing import Any

import pandas as pd
import requests
from endpoint import PATH, arguments, body, headers


def main() -> None:
    url, out = arguments()
    orders: list[dict[str, Any]] = []
    with requests.Session() as session:
        session.headers.update(headers())
        for page in count(1):
            response = session.post(url + PATH, json=body(page), timeout=60)
            response.raise_for_status()
            data = response.json()["data"]
            orders += data["list"]
            if page >= data["total_page"]:
                break
    frame = pd.DataFrame(orders)
    frame["created_at"] = pd.to_datetime(frame["created_at"])
    frame.to_parquet(out / "orders.parquet")


if __name__ == "__main__":
    main()
