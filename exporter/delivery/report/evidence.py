"""Read the evidence of completeness out of a manifest: certificates in order of time, pace, changes. Pure.

Fields that older manifests don't have are None here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Proof(StrEnum):
    """How a span was proven, as the page names it."""

    PAGES = "pages"
    SEEK = "seek"
    HALVES = "halves"
    KEPT = "kept"
    OTHER = "other"
    MISSING = "missing"

    @property
    def explained(self) -> str:
        """What it means, in a line."""
        return _EXPLAINED[self]


_EXPLAINED = {
    Proof.PAGES: "all pages of a span, whose count is the total that each of them states",
    Proof.SEEK: "first pages only, each from the last second of the one before",
    Proof.HALVES: "spans halved until each fits one page",
    Proof.KEPT: "kept from an earlier export and confirmed by counts",
    Proof.OTHER: "proven in a way that a newer version of the program knows",
    Proof.MISSING: "no certificate",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Certified:
    """A row of the certificates: a segment, several adjacent ones of the same proof, or a span without certificate.

    The span is half-open, in Unix seconds. `totals` are the smallest and the largest total of its responses.
    """

    start: int
    stop: int
    proof: Proof
    rows: int = 0
    segments: int = 1
    totals: tuple[int, int] | None = None
    requests: int = 0
    repair: str | None = None
    """Why it was repaired, if it was."""
    confirmed: str | None = None
    """When it was confirmed by counts, if it was kept."""
    repeated: int = 0
    fetched_to: float | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing about it needs a line of its own."""
        return self.proof is Proof.PAGES and self.repair is None and not self.repeated


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """What the run that ended the export did; durations are seconds, shares are of 1."""

    requests: int | None
    retries: int | None
    refusals: int | None
    rate: float | None
    elapsed: float | None
    latency: float | None
    share: float | None
    """Share of the requests that the rate allowed."""
    windows: int | None
    fetched_from: float | None
    fetched_to: float | None
    arrivals: Sequence[tuple[float, int]]
    """When each segment's last response came, and the requests that all segments up to it rest on."""


def certificates(manifest: Mapping[str, Any]) -> list[Certified]:
    """Return all segments and spans without certificate, in order of time."""
    rows = [_certified(segment) for segment in manifest["segments"]]
    for span in manifest["missing"]:
        start, stop = _span(span)
        rows.append(Certified(start=start, stop=stop, proof=Proof.MISSING, segments=0))
    return sorted(rows, key=lambda row: row.start)


def condensed(rows: Sequence[Certified], limit: int) -> list[Certified]:
    """Return at most about `limit` rows: plain neighbours are joined first, then, if need be, any neighbours."""
    if len(rows) <= limit:
        return list(rows)
    joined: list[Certified] = []
    size = -(-len(rows) // max(1, limit // 2))
    for row in rows:
        if joined and row.plain and joined[-1].plain and joined[-1].segments < size:
            joined[-1] = _join([joined[-1], row])
        else:
            joined.append(row)
    if len(joined) <= limit:
        return joined
    size = -(-len(joined) // limit)
    return [_join(joined[at : at + size]) for at in range(0, len(joined), size)]


def pace(manifest: Mapping[str, Any]) -> Pace:
    """Return the pace of the run that ended the export."""
    run = manifest["run"]
    segments = [segment for segment in manifest["segments"] if not segment.get("confirmed")]
    came = sorted((segment["fetched_to"], segment["requests"]) for segment in segments)
    arrivals, requests = [], 0
    for moment, count in came:
        requests += count
        arrivals.append((moment, requests))
    rate, sending = run.get("rate"), run.get("sending_seconds")
    paced = rate is not None and sending and run["requests"] > 1
    return Pace(
        requests=run.get("requests"),
        retries=run.get("retries"),
        refusals=run.get("rate_limited"),
        rate=rate,
        elapsed=run.get("elapsed_seconds"),
        latency=run.get("latency_seconds"),
        share=(run["requests"] - 1) / (sending * rate) if paced else None,
        windows=run.get("windows"),
        fetched_from=min((segment["fetched_from"] for segment in segments), default=None),
        fetched_to=arrivals[-1][0] if arrivals else None,
        arrivals=arrivals,
    )


def changes(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return what the last update found, empty if there was none."""
    run = manifest["run"]
    names = ("added", "changed", "vanished", "segments_kept", "requests_full")
    return {name: run[name] for name in names if run.get(name) is not None}


def _certified(segment: Mapping[str, Any]) -> Certified:
    confirmed, totals = segment.get("confirmed"), segment["totals"]
    start, stop = _span(segment)
    known = {proof.value for proof in Proof}
    way = segment["way"] if segment["way"] in known else Proof.OTHER
    return Certified(
        start=start,
        stop=stop,
        proof=Proof.KEPT if confirmed else Proof(way),
        rows=segment["rows"],
        totals=(min(totals), max(totals)) if totals else None,
        requests=segment["requests"],
        repair=segment["reason"],
        confirmed=_confirmed_at(confirmed) if confirmed else None,
        repeated=segment["repeated"],
        fetched_to=segment["fetched_to"],
    )


def _confirmed_at(confirmed: Any) -> str:
    return str(confirmed.get("time", "")) if isinstance(confirmed, Mapping) else str(confirmed)


def _span(span: Mapping[str, Any]) -> tuple[int, int]:
    start, stop = (int(dt.datetime.fromisoformat(span[name]).timestamp()) for name in ("start", "stop"))
    return start, stop


def _join(rows: Iterable[Certified]) -> Certified:
    """Return neighbours as one row; of different proofs it has the one that comes last in `Proof`."""
    rows = list(rows)
    totals = [total for row in rows if row.totals for total in row.totals]
    order = list(Proof)
    return replace(
        max(rows, key=lambda row: order.index(row.proof)),
        start=rows[0].start,
        stop=rows[-1].stop,
        rows=sum(row.rows for row in rows),
        segments=sum(row.segments for row in rows),
        totals=(min(totals), max(totals)) if totals else None,
        requests=sum(row.requests for row in rows),
        repair=next((row.repair for row in rows if row.repair), None),
        repeated=sum(row.repeated for row in rows),
    )
