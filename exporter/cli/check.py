"""`exporter check`: are the key, the host and the clock right."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

from exporter.cli.app import Origin, chosen, command, settings
from exporter.cli.event_loop import asking
from exporter.config.options import ConnectionOptions, OutputOptions
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
    made = dataclasses.replace(settings(options), max_attempts=1, patience=0.0)
    health = asking(made, lambda ask: preview.check(ask, made, now=time.time()))
    facts = {
        "host": health.host,
        "key": made.api_key.masked,
        "latency_seconds": round(health.latency, 3),
        "clock_offset_seconds": None if health.clock_offset is None else round(health.clock_offset, 1),
        "clock_right": health.clock_right,
    }
    if options.values["json"]:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    host = f"{health.host} answers in {health.latency * 1000:,.0f} ms"
    print(table([("host", host), ("key", f"{facts['key']} is accepted"), ("clock", _clock(health))]))
    return 0


def _clock(health: preview.Health) -> str:
    offset = health.clock_offset
    if offset is None:
        return "not known: the server sends no Date"
    if health.clock_right:
        return "right"
    return f"{duration(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the server's; exports use the server's"
