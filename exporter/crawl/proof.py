"""What a strategy is given, a rest of a span, and what it returns: a proof, or a finding about the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from exporter.certify.join import OPEN, Boundary
from exporter.certify.judge import Certificate
from exporter.certify.pages import Page
from exporter.certify.spans import Span

Way = Literal["pages", "seek", "halves"]
"""The strategy that a proof rests on."""


class Finding(Exception):  # noqa: N818 - no error: the server profile has learned, and another strategy is tried
    """A strategy is of no use with this server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rest:
    """What of a span is not proven yet, and what is known of it."""

    span: Span
    boundary: Boundary = OPEN
    first: Page | None = None
    """Its first page, or another one: whoever uses it must compare its request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """Rows of a span, the responses that prove that there are no others, and the strategy."""

    span: Span
    """Empty if nothing could be proven."""
    table: pa.Table
    way: Way
    closed: Sequence[Page]
    overlapping: Sequence[Page] = ()
    """Pages of a longer range that prove it, too."""
    end: Boundary = OPEN
    """What is known of what follows."""
    first: Page | None = None
    """The first page of what follows, if it has come."""
    hole: Span | None = None
    """What follows, if it can't be proven; `doubt` says why."""
    doubt: str = ""

    def certificate(self, reason: str | None) -> Certificate:
        """Return the evidence; `reason` says why a repair was needed."""
        return Certificate.of(
            self.span, self.table, closed=self.closed, overlapping=self.overlapping, way=self.way, reason=reason
        )

    def rest(self, before: Rest) -> Rest:
        """Return what is left after it, and after its hole."""
        stop = before.span.stop
        if self.hole is not None:
            return Rest(span=Span(self.hole.stop, stop))
        return Rest(span=Span(self.span.stop, stop), boundary=self.end, first=self.first)
