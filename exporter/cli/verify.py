"""`exporter verify`: is a result what its manifest says, and what the API has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from exporter.certify.spans import Span
from exporter.cli.app import Origin, chosen, command, settings, team_settings
from exporter.cli.event_loop import asking, in_thread
from exporter.cli.reporting import current, with_hint
from exporter.config.options import ConnectionOptions, OutputOptions, Settings
from exporter.config.sources import Chosen
from exporter.errors import CertificateError, ConfigError, ExportError
from exporter.progress.text import counted, size

if TYPE_CHECKING:
    from exporter.crawl.preview import Ask
    from exporter.store import Manifest

EXAMPLES = """\
Examples:
  exporter verify orders/
  exporter verify orders/ --online
  exporter verify orders/ --expect "$(cat orders.sha256)"
  exporter verify s3://bucket/orders
"""


@command(ConnectionOptions, OutputOptions, Origin, without=("quiet", "log_file", "show_settings"), epilogue=EXAMPLES)
def verify(
    out: str | Path,
    /,
    *,
    expect: Annotated[
        str | None, Parameter(help="SHA-256 that the manifest must have: keep it where nobody can write to both.")
    ] = None,
    online: Annotated[bool, Parameter(help="Compare the totals with the API's too.", negative="")] = False,
    **given: Any,
) -> int:
    """Check the result in OUT against its manifest: checksums, rows, order, bounds, schema. Sends nothing.

    With --online the API's totals are compared too, by one request where all is well, down to the spans that differ.
    OUT may be the URL that a result was published at: all bytes are read and compared with the checksums.
    """
    from exporter.delivery.publish.location import is_url
    from exporter.store.finished import holds_teams, lost_teams, teams_in
    from exporter.store.verify import verify as verify_offline

    options = chosen(given)
    if expect is not None and not re.fullmatch("[0-9a-fA-F]{64}", expect):
        raise ConfigError(
            f"--expect is {expect!r}, no SHA-256", hint="it has 64 hexadecimal digits: sha256sum prints it"
        )
    if is_url(out):
        from exporter.delivery.publish.published import verify_at

        by_team = in_thread(partial(verify_at, str(out), expect=expect))
        if None not in by_team:
            read = {str(team): partial(_as_it_is, manifest) for team, manifest in by_team.items()}
            return _verify_teams(out, read, options, given, online=online)
        manifest = by_team[None]
    elif holds_teams(Path(out)):
        if expect is not None:
            raise ConfigError("--expect is for one manifest, and this OUT holds teams", hint="verify OUT/team=NAME")
        read = {team: partial(verify_offline, folder) for team, folder in teams_in(Path(out)).items()}
        read |= {team: partial(_missing, team) for team in lost_teams(Path(out))}
        return _verify_teams(out, read, options, given, online=online)
    else:
        manifest = verify_offline(Path(out), expect=expect)
    current.get().timezone = manifest.timezone
    if online:
        _compare(manifest, _connection(manifest, options))
    if not manifest.complete:
        spans = ", ".join(map(str, manifest.missing)) or "the whole range"
        raise CertificateError(f"the files are as they were written, but {spans} was never certified")
    counts = manifest.counts
    held = f"{counted(counts['rows'], 'order')}, {counted(counts['parts'], 'part')}, {size(counts['bytes'])}"
    if options.values["json"]:
        print(json.dumps({"out": str(out), "right": True, "online": online, "complete": True, **counts}))
        return 0
    print(f"{out} is right: {held}")
    if online:
        print("the API's totals are the same")
    return 0


def _missing(team: str) -> Manifest:
    raise CertificateError(f"the result of {team} is missing, which _teams.json lists as complete")


def _as_it_is(manifest: Manifest) -> Manifest:
    return manifest


def _verify_teams(
    out: str | Path,
    teams: Mapping[str, Callable[[], Manifest]],
    options: Chosen,
    given: Mapping[str, Any],
    *,
    online: bool,
) -> int:
    """Verify each team; raise CertificateError that names those that are wrong, once all are known."""
    settings_by_team = team_settings(options, given) if online else {}
    rows, wrong = 0, list[str]()
    for name, verified in teams.items():
        try:
            manifest = verified()
            rows += manifest.counts["rows"]
            if not manifest.complete:
                raise CertificateError("it is not complete")
            if online:
                if name not in settings_by_team:
                    raise ConfigError("the configuration has no such team", hint="name the file of teams by --config")
                _compare(manifest, settings_by_team[name])
        except ExportError as error:
            wrong.append(f"team {name}: {with_hint(error)}")
    if wrong:
        raise CertificateError("\n- ".join([f"{len(wrong)} of {counted(len(teams), 'team')} are not right:", *wrong]))
    if options.values["json"]:
        facts = {"out": str(out), "right": True, "online": online, "complete": True, "teams": len(teams), "rows": rows}
        print(json.dumps(facts))
    else:
        print(f"{out} is right: {counted(rows, 'order')} of {counted(len(teams), 'team')}")
    return 0


def _connection(manifest: Manifest, options: Chosen) -> Settings:
    """Return the settings to ask the API of this result, at its own address if none is named."""
    made = settings(options)
    current.get().timezone = manifest.timezone
    if options.sources["site"] is options.sources["base_url"] is None:
        made = replace(made, base_url=manifest.query["base_url"])
    return made


def _compare(manifest: Manifest, made: Settings) -> None:
    """Raise CertificateError that names the spans whose totals in the API differ from the result's rows."""
    from exporter.store.manifest import filters_of
    from exporter.store.verify import differing_online

    query, run = manifest.query, manifest.run
    if run.totals == "ignored" or run.padded:
        raise CertificateError("the server's totals did not count what it showed in this export: they prove nothing")
    filters = filters_of(query)
    held = [(segment.span, segment.rows) for segment in manifest.segments]

    async def compare(ask: Ask) -> list[Span]:
        return await differing_online(held, ask=ask, filters=filters, cap=run.cap)

    if spans := asking(made, compare):
        raise CertificateError(
            f"the API's totals differ from the rows of {', '.join(map(str, spans))}",
            hint="orders came or went since the export: exporter update brings a result up to date",
        )
