"""The manifest: what was asked, the certificate of each segment, each part with its rows and checksum.

`_manifest.json` is indented JSON with these keys; times are ISO 8601:

    format      the version of this description, an integer
    query       what was asked, from the settings
    range       `start` and `stop` of what is covered, half-open
    timezone, language, base_url
    counts      `rows`, `segments`, `parts`, `bytes`
    segments    in order of time: `start` and `stop` (half-open), `rows`, `totals`, `requests`, `fetched_from` and
                `fetched_to` (Unix seconds), `way`, `reason`; `repeated`: rows that repeat an identity of their second;
                `confirmed`, only if an update kept it: `time`, and `counts` of its rows by status code
    missing     the spans without certificate, each `[start, stop)`
    parts       in order: `name`, `rows`, `bytes`, `sha256`, `digest` (of the bytes before the Parquet footer, which
                holds it too), `min_created_at`, `max_created_at`
    run         facts of the run that ended it: `complete`, `totals`, `final_check` and so on
    sha256      of this file's text without this line's value

The text is a function of these values, so that a change of any byte is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.errors import CertificateError, OutputError
from exporter.store.run_facts import RunFacts
from exporter.store.typed import as_tuples, typed
from exporter.vendor.orders import Filters, wire_time

FORMAT = 1
"""The newest version of manifests and spools that this program reads and writes."""

NAME = "_manifest.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """When an update found a segment unchanged, ISO 8601, and its rows by status code.

    With those of all other segments they come to the server's counts.
    """

    time: str
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommittedSegment:
    """A committed segment. `repeated` of its rows have an identity that another row of their second has too."""

    certificate: Certificate
    repeated: int
    confirmed: Confirmed | None = None
    """None unless an update kept it."""

    @property
    def span(self) -> Span:
        """The half-open span that it covers."""
        return self.certificate.span

    @property
    def rows(self) -> int:
        """Its rows."""
        return self.certificate.rows

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest and the spool hold it."""
        values = {field.name: getattr(self.certificate, field.name) for field in fields(self.certificate)}
        kept = {} if self.confirmed is None else {"confirmed": asdict(self.confirmed)}
        return {**span_to_json(values.pop("span")), **values, "repeated": self.repeated, **kept}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CommittedSegment:
        """Return what `to_json` gave."""
        rest = {name: item for name, item in value.items() if name not in {"start", "stop", "repeated", "confirmed"}}
        certificate = typed(Certificate, {**rest, "span": span_from_json(value)})
        kept = {"confirmed": typed(Confirmed, value["confirmed"])} if "confirmed" in value else {}
        return typed(cls, {"certificate": certificate, "repeated": value["repeated"], **kept})


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One Parquet file of a result; the times are ISO 8601, None when it has no rows."""

    name: str
    rows: int
    bytes: int
    sha256: str
    digest: str
    min_created_at: str | None
    max_created_at: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a result says about itself."""

    query: Mapping[str, Any]
    whole: Span
    timezone: str
    language: str
    base_url: str | None
    segments: tuple[CommittedSegment, ...]
    missing: tuple[Span, ...]
    parts: tuple[Part, ...]
    run: RunFacts

    @property
    def rows(self) -> int:
        """The rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def counts(self) -> dict[str, int]:
        """Rows, segments, parts and bytes."""
        return {
            "rows": self.rows,
            "segments": len(self.segments),
            "parts": len(self.parts),
            "bytes": sum(part.bytes for part in self.parts),
        }

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, as far as the run that ended it could show."""
        return not self.missing and self.run.complete

    @property
    def updated(self) -> float | None:
        """When an update last looked at it, in Unix seconds; None if it was exported as a whole."""
        if self.run.added is None:
            return None
        kept = [datetime.fromisoformat(one.confirmed.time).timestamp() for one in self.segments if one.confirmed]
        return max([*kept, *(one.certificate.fetched_to for one in self.segments)], default=None)

    def dumps(self) -> bytes:
        """Return the text of `_manifest.json`."""
        return _text(
            {
                "format": FORMAT,
                "query": self.query,
                "range": span_to_json(self.whole),
                "timezone": self.timezone,
                "language": self.language,
                "base_url": self.base_url,
                "counts": self.counts,
                "segments": [segment.to_json() for segment in self.segments],
                "missing": [span_to_json(span) for span in self.missing],
                "parts": [asdict(part) for part in self.parts],
                "run": self.run.to_json(),
            }
        )


def loads(text: bytes, *, path: Path | str) -> tuple[Manifest, list[str]]:
    """Return the manifest in `text`, and what is wrong with the text; `path` is where it is from, which may be a URL.

    Raise OutputError if a newer program wrote it, CertificateError if it can't be read at all.
    """
    file = str(path).rpartition("/")[2]
    try:
        value = orjson.loads(text)
        version = value["format"]
        if isinstance(version, int) and version > FORMAT:
            raise OutputError(
                f"{path} is of version {version}; this program knows {FORMAT} and leaves it alone",
                hint="use a newer version of the exporter",
            )
        ZoneInfo(value["timezone"])  # raises where there is no such zone
        manifest = typed(
            Manifest,
            {
                **{name: value[name] for name in ("query", "timezone", "language", "base_url")},
                "whole": span_from_json(value["range"]),
                "segments": tuple(map(CommittedSegment.from_json, value["segments"])),
                "missing": tuple(map(span_from_json, value["missing"])),
                "parts": tuple(typed(Part, part) for part in value["parts"]),
                "run": RunFacts.from_json(value["run"]),
            },
        )
        ZoneInfo(manifest.timezone)  # raises for what is no time zone
        wrong = [
            f"{file}: counts.{name} is {value['counts'].get(name)!r}, its own lists come to {count}"
            for name, count in manifest.counts.items()
            if value["counts"].get(name) != count
        ]
        if value.pop("sha256") != _checksum(value) or _text(value) != text:
            wrong.append(f"{file}: its text was changed, its checksum is of another one")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise CertificateError(
            f"{path} is no manifest that can be read: {reason}", hint="export it again, or use a copy that was kept"
        ) from error
    return manifest, wrong


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what two queries differ in, field by field."""
    return [
        f"{name} was {_shown(before.get(name))} and is now {_shown(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON gives it back."""
    result: dict[str, Any] = orjson.loads(orjson.dumps(dict(value)))
    return result


def filters_of(query: Mapping[str, Any]) -> Filters:
    """Return the filters of a query as a manifest holds it."""
    return Filters(**{one.name: as_tuples(query[one.name]) for one in fields(Filters)})


def span_to_json(span: Span) -> dict[str, str]:
    """Return a span as the manifest holds it."""
    return {"start": wire_time(span.start), "stop": wire_time(span.stop)}


def span_from_json(value: Mapping[str, Any]) -> Span:
    """Return the span that `span_to_json` was given; raise ValueError for one that is none."""
    span = Span(_second(value["start"]), _second(value["stop"]))
    if span.start >= span.stop:
        raise ValueError(f"{span} has no seconds")
    return span


def _second(text: str) -> int:
    second = int(datetime.fromisoformat(text).timestamp())
    wire_time(second)  # raises where the API's own offset leaves the calendar
    return second


def _text(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps({**value, "sha256": _checksum(value)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _checksum(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(value)).hexdigest()


def _shown(value: Any) -> str:
    """Return a value of a query as a message shows it; an empty list is a filter that was not given."""
    if value in (None, []):
        return "not given"
    return ", ".join(map(_shown, value)) if isinstance(value, list) else orjson.dumps(value).decode()
