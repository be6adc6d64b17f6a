"""Decide which segments of a result to certify anew: counts by status say where something changed. Pure.

A count of one status of one span is one request; a page of it is one, too. So a run of segments is halved only while
that costs less than the pages that it may save.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from exporter.certify.spans import Span, pages_of
from exporter.events import MORE_THAN_PAGES
from exporter.vendor.orders import STATUS_LABELS

ROUNDS = 8
"""How often counts of all that is kept are compared before the rest is certified anew as well."""

ALLOWED = 15
"""Counts of one update, beyond those that a tenth of a full export's requests pays for."""

A_RUN = 2
"""Requests that certifying one more run of segments costs beyond its pages."""

ByStatus = Mapping[int | None, int]
"""Rows by status code; None: a label that no table knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A segment that is held, by status; `kept` from the old result, or certified anew."""

    span: Span
    rows: int
    by_status: ByStatus
    kept: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Ask how many orders of a status the server counts in a span."""

    span: Span
    status: int


Search = Generator[Question, int, list[Held]]


def codes_of(status: Sequence[int]) -> tuple[int, ...]:
    """Return the codes to count by: those that the query asks for, or all."""
    return tuple(status) or tuple(STATUS_LABELS["en"])


def counts_of(held: Iterable[Held], codes: Iterable[int]) -> dict[int, int]:
    """Return the rows of some segments by status code."""
    held = list(held)
    return {code: sum(one.by_status.get(code, 0) for one in held) for code in codes}


def unknown_in(held: Iterable[Held], codes: Iterable[int]) -> int:
    """Return how many rows of some segments are of none of the codes."""
    held = list(held)
    return sum(one.rows for one in held) - sum(counts_of(held, codes).values())


def requests_of(rows: int, page_size: int) -> int:
    """Return what an export of some rows sends at most, undisturbed."""
    return max(1, pages_of(rows, page_size)) + MORE_THAN_PAGES


def allowed_counts(requests_full: int) -> int:
    """Return how many counts an update may take, so that it never costs much more than a full export."""
    return ALLOWED + requests_full // 10


def search(
    run: Sequence[Held],
    server: Mapping[int, int],
    *,
    page_size: int,
    allowed: int,
    known: Mapping[int, Mapping[Span, int]] = MappingProxyType({}),
) -> Search:
    """Yield the counts that are wanted, be sent each, return the segments to certify anew.

    `run` are consecutive segments, `server` the server's counts of all of them by status, `known` those of some
    statuses by segment. Only statuses that differ are counted in a part; those of its second half follow from the
    first. At most `allowed` counts are asked for.

    What is returned is never empty if a count differs: the differences of two halves add up to that of the whole.
    """
    found, _ = yield from _narrow(run, server, page_size, allowed, known)
    return found


def _narrow(
    run: Sequence[Held],
    server: Mapping[int, int],
    page_size: int,
    allowed: int,
    known: Mapping[int, Mapping[Span, int]],
) -> Generator[Question, int, tuple[list[Held], int]]:
    """Return the segments in doubt, and how many counts may still be asked for."""
    held = counts_of(run, server)
    differing = [code for code in sorted(server) if server[code] != held[code]]
    if not differing:
        return [], allowed
    cost = len(differing) - len(known.keys() & differing)
    if len(run) == 1 or _pages(run, page_size) < 2 * cost or allowed < cost:
        return list(run), allowed
    middle = _middle(run)
    left = Span(run[0].span.start, run[middle - 1].span.stop)
    below: dict[int, int] = {}
    for code in differing:
        if code in known:
            below[code] = sum(known[code].get(one.span, 0) for one in run[:middle])
        else:
            below[code] = yield Question(span=left, status=code)
    above = {code: server[code] - below[code] for code in differing}
    allowed -= cost
    found, allowed = yield from _narrow(run[:middle], below, page_size, allowed, known)
    rest, allowed = yield from _narrow(run[middle:], above, page_size, allowed, known)
    return found + rest, allowed


def _middle(run: Sequence[Held]) -> int:
    """Return where to cut a run so that both parts have about as many rows; neither is empty."""
    whole, below = sum(one.rows for one in run), 0
    for place, one in enumerate(run[:-1], start=1):
        below += one.rows
        if 2 * below >= whole:
            return place
    return len(run) - 1


def joined(found: Iterable[Span], run: Sequence[Held], *, page_size: int) -> list[Span]:
    """Return the spans to certify anew, with those between them that cost less than another run of segments.

    Return all of the run if that costs about as much.
    """
    doubtful, chosen, between = set(found), list[Held](), list[Held]()
    for one in run:
        if one.span not in doubtful:
            between.append(one)
            continue
        if chosen and _pages(between, page_size) <= A_RUN:
            chosen += between
        chosen.append(one)
        between = []
    kept = [one for one in run if one.kept]
    anew = [one for one in chosen if one.kept]
    cost = _pages(anew, page_size) + A_RUN * _runs(anew)
    return [one.span for one in (kept if anew and cost >= _pages(kept, page_size) else anew)]


def _runs(segments: Sequence[Held]) -> int:
    """Return in how many gapless runs some segments are."""
    stops = [None, *(one.span.stop for one in segments)]
    return sum(stop != one.span.start for stop, one in zip(stops, segments, strict=False))


def _pages(segments: Iterable[Held], page_size: int) -> int:
    return math.ceil(sum(one.rows for one in segments) / page_size)


def why_anew(*, totals: str, padded: bool, ascending: bool) -> str | None:
    """Return why counts can't confirm anything with this server, None if they can.

    The cases:
    - its totals are ignored or stop somewhere: no count is one;
    - spans had to be padded: a count of a span is not that of its rows;
    - its records come in no order: a segment can't be asked for by its pages.
    """
    if totals != "exact":
        return f"the server's totals are {totals}"
    if padded:
        return "the server's bounds are not those that were asked for: a count of a span is not that of its orders"
    if not ascending:
        return "the server's records come in no order of time"
    return None
