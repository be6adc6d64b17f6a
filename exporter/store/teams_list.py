"""The list of teams in a folder of their results, `_teams.json`: which are complete, what they hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

FORMAT = 1
NAME = "_teams.json"

UNFINISHED = "unfinished"
COMPLETE = "complete"
FAILED = "failed"


def text_of(teams: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the text of the list: of each team its `state`, `rows`, `bytes`, `sha256`, `error` and `exit`."""
    complete = [one for one in teams.values() if one["state"] == COMPLETE]
    counts = {
        "teams": len(teams),
        "complete": len(complete),
        "rows": sum(one["rows"] for one in complete),
        "bytes": sum(one["bytes"] for one in complete),
    }
    value = {"format": FORMAT, "teams": dict(sorted(teams.items())), "counts": counts}
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def facts_of(*, rows: int, size: int, sha256: str) -> dict[str, Any]:
    """Return what the list says of a complete team: `size` are the bytes of its parts, `sha256` its manifest's."""
    return {"state": COMPLETE, "rows": rows, "bytes": size, "sha256": sha256, "error": None, "exit": None}


def teams_of(text: bytes) -> dict[str, dict[str, Any]]:
    """Return the teams in a list; raise ValueError if it can't be read."""
    try:
        teams = orjson.loads(text)["teams"]
        return {name: {**facts, "state": str(facts["state"])} for name, facts in teams.items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it lists no teams: {error!r}") from error
