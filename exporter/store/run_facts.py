"""What the run that finished a result reports of itself: the manifest's `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from exporter.store.typed import typed

UPDATE_FACTS = ("added", "changed", "vanished", "segments_kept", "requests_full", "anew")
"""The facts that only an update has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """Facts of one run. A fact that an older manifest does not have is what it was when it did not exist yet."""

    complete: bool = True
    """All of the range is certified, and the final check found nothing."""
    requests: int = 0
    """Requests that left, every attempt counted."""
    retries: int = 0
    rate_limited: int = 0
    """Requests that were refused as too frequent."""
    repaired_segments: int = 0
    windows: int = 0
    final_check: bool = False
    """The last comparison of totals was made."""
    totals: str = "exact"
    """`exact`, `capped` (the server's totals stop at a number) or `ignored` (they are wrong or missing)."""
    cap: int | None = None
    """Where the server's totals stop."""
    padded: bool = False
    """Spans were asked with a second more on both sides: their totals count more than their rows."""
    uncertified: tuple[str, ...] = ()
    """Spans without certificate, or what the final check found to differ."""
    rate: float | None = None
    """Requests a second that were allowed; None if there was no limit, or the manifest is older than this fact."""
    elapsed_seconds: float | None = None
    """How long the run took, up to the writing of the manifest."""
    sending_seconds: float | None = None
    """The time from the first request's departure to the last one's."""
    latency_seconds: float | None = None
    """From a request's departure to its response, smoothed, at the end of the run."""

    added: int | None = None
    """Orders that an update found to be new; this and what follows is None of an export."""
    changed: int | None = None
    """Orders whose status or `expired_at` had changed."""
    vanished: int | None = None
    segments_kept: int | None = None
    """Segments of the result before that still stand."""
    requests_full: int | None = None
    """Requests that an export of the whole range would have sent, undisturbed."""
    anew: str | None = None
    """Why an update exported everything anew, if it did."""

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest holds it: what only updates have is left out where it is None."""
        facts = {**asdict(self), "uncertified": list(self.uncertified)}
        return {name: value for name, value in facts.items() if value is not None or name not in UPDATE_FACTS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunFacts:
        """Return what `to_json` gave, without what is not known here; raise TypeError for a fact of another type."""
        known = {field.name: value[field.name] for field in fields(cls) if field.name in value}
        return typed(cls, known)
