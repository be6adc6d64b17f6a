"""Write a table of results: as Markdown for people, as JSON for programs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from environments import RESULTS
from measure import machine

LEFT = ("---", "---:")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Sequence[int] = (0,)) -> str:
    """Return a Markdown table; the columns whose numbers are in `texts` are aligned to the left."""
    rules = [LEFT[number not in texts] for number in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows)) + "\n"


def where() -> str:
    """Say on what machine and when, for the head of a result."""
    return f"Measured on {dt.date.today():%Y-%m-%d}: {machine()}; the server on the same machine.\n"  # noqa: DTZ011


def save(name: str, title: str, text: str, data: dict[str, Any]) -> None:
    """Write `results/NAME.md` and `results/NAME.json`."""
    (RESULTS / f"{name}.md").write_text(f"# {title}\n\n{where()}\n{text}")
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine(), **data}, indent=1) + "\n")


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f}"
