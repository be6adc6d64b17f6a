"""Define what every contender requests: the same endpoint, range, order and page size."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

PATH = "/api/v1/team/order"
START, END = "2024-01-01T00:00:00+08:00", "2026-01-01T23:59:59+08:00"
"""Two years: the range of the simulator's orders."""
PAGE_SIZE = 500


def headers() -> dict[str, str]:
    return {"DuoPlus-API-Key": os.environ["DUOPLUS_API_KEY"], "Lang": "en"}


def body(page: int) -> dict[str, Any]:
    return {
        "created_at_start": START,
        "created_at_end": END,
        "sort_by": "created_at",
        "order": "asc",
        "page": page,
        "pagesize": PAGE_SIZE,
    }


def arguments() -> tuple[str, Path]:
    """Return the server's URL and the folder to write to."""
    url, out = sys.argv[1:]
    return url, Path(out)
