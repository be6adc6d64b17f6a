"""`exporter check`: are the key, the host and the clock right."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporter.cli.app import Origin, chosen, command, settings, team_settings
from exporter.cli.event_loop import asking, asking_each
from exporter.cli.reporting import localized, with_hint
from exporter.config.options import ConnectionOptions, OutputOptions, Settings
from exporter.errors import ExportError
from exporter.progress.text import duration, table

if TYPE_CHECKING:
    from exporter.crawl import preview

EXAMPLES = """\
Examples:
  exporter check
  exporter check --site mainland --api-key-file ~/.duoplus-key
"""


@command(ConnectionOptions, OutputOptions, Origin, without=("quiet", "log_file", "show_settings"), epilogue=EXAMPLES)
def check(**given: Any) -> int:
    """Check that the key is accepted, the host reachable, the clock right. Sends one request."""
    from exporter.crawl import preview

    options = chosen(given)
    if teams := team_settings(options, given):
        return _check_teams(teams, as_json=options.values["json"])
    made = _once(settings(options))
    health = asking(made, lambda ask: preview.check(ask, made, now=time.time()))
    facts = _facts(made, health)
    if options.values["json"]:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    host = f"{health.host} answers in {health.latency * 1000:,.0f} ms"
    print(table([("host", host), ("key", f"{facts['key']} is accepted"), ("clock", _clock(health))]))
    return 0


def _check_teams(teams: Mapping[str, Settings], *, as_json: bool) -> int:
    """Check the key of each team; return the smallest exit code of those that failed."""
    from exporter.crawl import preview

    once = {name: _once(made) for name, made in teams.items()}
    found = asking_each(once, lambda made, ask: preview.check(ask, made, now=time.time()))
    facts: dict[str, Any] = {}
    rows = [("team", "host", "key", "")]
    for name, health in found.items():
        key = once[name].api_key.masked
        if isinstance(health, ExportError):
            facts[name] = {"error": str(health), "hint": health.hint or "", "exit": health.exit_code}
            rows.append((name, once[name].base_url, key, with_hint(health)))
        else:
            facts[name] = _facts(once[name], health)
            rows.append((name, health.host, f"{key} is accepted", f"clock: {_clock(health)}"))
    failed = [one["exit"] for one in facts.values() if "exit" in one]
    shown = {"teams": facts, "failed": len(failed)}
    print(json.dumps(shown, ensure_ascii=False) if as_json else localized(table(rows)))
    return min(failed, default=0)


def _once(made: Settings) -> Settings:
    return dataclasses.replace(made, max_attempts=1, patience=0.0)


def _facts(made: Settings, health: preview.Health) -> dict[str, Any]:
    return {
        "host": health.host,
        "key": made.api_key.masked,
        "latency_seconds": round(health.latency, 3),
        "clock_offset_seconds": None if health.clock_offset is None else round(health.clock_offset, 1),
        "clock_right": health.clock_right,
    }


def _clock(health: preview.Health) -> str:
    offset = health.clock_offset
    if offset is None:
        return "not known: the server sends no Date"
    if health.clock_right:
        return "right"
    return f"{duration(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the server's; exports use the server's"
