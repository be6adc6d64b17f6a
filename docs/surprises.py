"""Print what each surprise of a server costs, for the table in completeness.md.

python docs/surprises.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import exporter
from exporter.simulator import Quirks, SimulatorOptions
from exporter.simulator.child_process import serving_apart

SURPRISES = [
    Quirks(),
    Quirks(open_end=True),
    Quirks(hidden_fractions=True),
    Quirks(past_end="repeat"),
    Quirks(past_end="refuse"),
    Quirks(depth_cap=2_000),
    Quirks(totals="text"),
    Quirks(totals="missing"),
    Quirks(deletions=(20,)),
    Quirks(inserts=(20,)),
    Quirks(shuffled_ties=True),
    Quirks(total_cap=10_000),
    Quirks(totals="short"),
    Quirks(open_start=True),
    Quirks(sort="descending"),
    Quirks(page_size=100),
    Quirks(max_range_days=30),
    Quirks(last_days=90),
    Quirks(first_days=90),
    Quirks(totals="long"),
    Quirks(ignored_range=1),
]


def outcome(quirks: Quirks, out: Path) -> str:
    """Export 20,000 orders from a server with these quirks; return the number of requests, or why it failed."""
    world = SimulatorOptions(rows=20_000, ties=40, quirks=quirks)
    with serving_apart(world) as url:
        try:
            result = exporter.run(out, base_url=url, api_key=world.key, rate=1e6)
        except exporter.ExportError as error:
            return f"exit {error.exit_code}"
    assert result.rows == 20_000 - len(quirks.deletions) + len(quirks.inserts)
    return f"{result.manifest['run']['requests']} requests"


if __name__ == "__main__":
    for quirks in SURPRISES:
        named = [f"{name}={value}" for name, value in vars(quirks).items() if value != vars(Quirks())[name]]
        with TemporaryDirectory() as folder:
            print(f"{', '.join(named) or 'none':<24} {outcome(quirks, Path(folder) / 'orders')}", flush=True)
