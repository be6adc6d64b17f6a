"""Add up the events of several teams."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from exporter.events import Event, Finished, FromTeam, TeamFailed
from exporter.progress.tally import Tally
from exporter.progress.text import counted, duration


class TeamsTally:
    """The sums over the tallies of the teams, with what a display asks of a tally."""

    def __init__(self, teams: Collection[str]) -> None:
        self._tallies = {name: Tally() for name in teams}
        self._finished: set[str] = set()
        self._failed: set[str] = set()

    def take(self, event: Event, now: float) -> None:
        """Count one event."""
        match event:
            case FromTeam():
                self._tallies[event.team].take(event.event, now)
                if isinstance(event.event, Finished):
                    self._finished.add(event.team)
            case TeamFailed():
                self._failed.add(event.team)
                self._finished.discard(event.team)
            case _:
                pass

    @property
    def since(self) -> float | None:
        """When the first response of any team came."""
        return min((one.since for one in self._tallies.values() if one.since is not None), default=None)

    @property
    def complete(self) -> bool:
        """Whether all teams have ended."""
        return len(self._finished) + len(self._failed) == len(self._tallies)

    @property
    def total(self) -> int | None:
        """The orders of all teams; None while those of some team are not known."""
        totals = [
            one.committed if name in self._finished else one.total
            for name, one in self._tallies.items()
            if name not in self._failed
        ]
        return None if None in totals else sum(total for total in totals if total is not None)

    @property
    def fetched(self) -> int:
        """Orders that have come."""
        return sum(one.fetched for one in self._tallies.values())

    def text(self, now: float, *, width: int | None = None) -> str:
        """Return all of it on one line; fields that `width` characters have no room for are left out."""
        running = [one for name, one in self._tallies.items() if name not in self._finished | self._failed]
        requests = sum(one.sent for one in self._tallies.values())
        elapsed = max(now - self.since, 1e-9) if self.since is not None else 0.0
        lefts = [left for one in running if (left := one.left(now)) is not None]
        fields = [
            f"{len(self._finished)} of {counted(len(self._tallies), 'team')}",
            f"{len(self._failed)} failed" if self._failed else "",
            f"{self.fetched:,} orders",
            f"{duration(max(lefts))} left" if lefts else "",
            f"{requests / elapsed:,.1f} requests/s" if elapsed > 1 else "",
        ]
        shown = [field for field in fields if field]
        while width is not None and len(", ".join(shown)) > width and len(shown) > 1:
            shown.pop()
        return ", ".join(shown)

    def facts(self) -> dict[str, Any]:
        """Return what is known when a run fails, by the names of the summary."""
        sums: dict[str, Any] = {}
        for one in self._tallies.values():
            for name, value in one.facts().items():
                sums[name] = sums.get(name, 0) + value
        return sums
