"""`exporter status` and `exporter verify`: what stands on the disk, and whether it is right."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from exporter.certify.spans import Span
from exporter.cli.app import Origin, chosen, command, settings
from exporter.cli.plan import asking
from exporter.config.options import ConnectionOptions, OutputOptions
from exporter.config.sources import Chosen
from exporter.errors import CertificateError
from exporter.progress.text import size, table
from exporter.vendor.orders import Filters, wire_time

if TYPE_CHECKING:
    from exporter.crawl.preview import Ask
    from exporter.store import Manifest

STATUS_EXAMPLES = """\
Examples:
  exporter status orders/
  exporter status orders/ --json
"""

VERIFY_EXAMPLES = """\
Examples:
  exporter verify orders/
  exporter verify orders/ --online
"""


@command(OutputOptions, without=("quiet", "log_file"), epilogue=STATUS_EXAMPLES)
def status(out: str, /, **given: Any) -> int:
    """Tell what stands in OUT, or is under way beside it. Sends nothing."""
    from exporter.store import status as status_of

    found = status_of(Path(out))
    finished, progress = found.finished, found.progress
    facts: dict[str, Any] = {"out": str(found.out), "state": str(found.state)}
    if finished is not None:
        facts |= {**finished.counts, "complete": finished.complete, "query": dict(finished.query)}
    if progress is not None:
        facts["progress"] = {
            "query": dict(progress.query),
            "rows": progress.rows,
            "segments": progress.segments,
            "committed_to": None if progress.committed_to is None else wire_time(progress.committed_to),
            "left": [[wire_time(span.start), wire_time(span.stop)] for span in progress.left],
            "held_by": None if found.holder is None else str(found.holder),
        }
    if chosen(given).values["json"]:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    rows = [("out", str(found.out)), ("state", str(found.state))]
    if finished is not None:
        counts = finished.counts
        rows += [("result", f"{counts['rows']:,} orders, {counts['parts']} part(s), {size(counts['bytes'])}")]
        rows += [("query", _query(finished.query))]
    if progress is not None:
        rows += [("under way", str(progress)), ("query", _query(progress.query))]
    if found.holder is not None:
        rows += [("running", str(found.holder))]
    print(table(rows))
    return 0


@command(
    ConnectionOptions, OutputOptions, Origin, without=("quiet", "log_file", "show_settings"), epilogue=VERIFY_EXAMPLES
)
def verify(
    out: str,
    /,
    *,
    online: Annotated[bool, Parameter(help="Compare the totals with the API's, too.", negative="")] = False,
    **given: Any,
) -> int:
    """Check the result in OUT against its manifest: checksums, rows, order, bounds, schema. Sends nothing.

    With --online the API's totals are compared too, by one request where all is well, down to the spans that differ.
    """
    from exporter.store.verify import verify as verify_offline

    options = chosen(given)
    manifest = verify_offline(Path(out))
    if online:
        _compare(manifest, options)
    if not manifest.complete:
        spans = ", ".join(map(str, manifest.missing)) or "the whole range"
        raise CertificateError(f"the files are as they were written, but never certified was {spans}")
    counts = manifest.counts
    if options.values["json"]:
        print(json.dumps({"out": out, "right": True, "online": online, "complete": True, **counts}))
        return 0
    print(f"{out} is right: {counts['rows']:,} orders, {counts['parts']} part(s), {size(counts['bytes'])}")
    if online:
        print("the API's totals are the same")
    return 0


def _compare(manifest: Manifest, options: Chosen) -> None:
    """Raise CertificateError that names the spans whose totals the API tells otherwise."""
    from exporter.store.verify import differing_online

    query, run = manifest.query, manifest.run
    if run.totals == "ignored" or run.padded:
        raise CertificateError("the server's totals did not count what it showed in this export: they tell nothing")
    made = settings(options)
    if options.places["site"] is options.places["base_url"] is None:
        made = replace(made, base_url=query["base_url"])
    filters = Filters(**{field.name: _several(query[field.name]) for field in fields(Filters)})
    held = [(segment.span, segment.rows) for segment in manifest.segments]

    async def compare(ask: Ask) -> list[Span]:
        return await differing_online(held, ask=ask, filters=filters, cap=run.cap)

    if spans := asking(made, compare):
        raise CertificateError(
            f"the API's totals differ from the rows of {', '.join(map(str, spans))}",
            hint="orders came or went since the export; export again with --overwrite for what is there now",
        )


def _several(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _query(asked: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in asked.items() if value not in (None, [], {}, "", False))
