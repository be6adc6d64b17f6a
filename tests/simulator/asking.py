"""Ask a world without HTTP."""

from __future__ import annotations

from typing import Any

from exporter.simulator.world import World
from exporter.vendor.orders import Record

NOON = 1_767_240_000  # 2026-01-01T12:00:00+08:00
ALWAYS = {"created_at_start": "2015-01-01T00:00:00+08:00", "created_at_end": "2030-01-01T00:00:00+08:00"}
ASCENDING = {**ALWAYS, "sort_by": "created_at", "order": "asc", "pagesize": 500}


def ask(world: World, *, language: str = "en", **body: Any) -> dict[str, Any]:
    """Return the `data` of the response to an ascending request for all times, changed by `body`."""
    response = world.response({**ASCENDING, **body}, language=language)
    assert response["code"] == 200, response
    data: dict[str, Any] = response["data"]
    return data


def refusal(world: World, **body: Any) -> str:
    """Return the message of the envelope that refuses a request."""
    response = world.response({**ASCENDING, **body})
    assert set(response) == {"code", "message"}
    assert response["code"] == 400
    return str(response["message"])


def every_page(world: World, *, language: str = "en", **body: Any) -> list[Record]:
    """Return the records of all pages, one after the other."""
    pages = ask(world, language=language, **body)["total_page"]
    return [
        record
        for page in range(1, pages + 1)
        for record in ask(world, language=language, **{**body, "page": page})["list"]
    ]
