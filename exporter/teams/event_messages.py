"""Carry the events of teams between processes as plain values, several in one message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from threading import Lock
from typing import Any, get_args

from exporter.events import Answered, Event, FromTeam, Noticed, TeamEvent

Message = list[list[Any]]
"""Of each event: its team (None: no single one), its kind, its fields."""

KINDS = {kind.__name__: kind for kind in get_args(TeamEvent)}


class Outbox:
    """Events that wait to be sent. Safe to be used by several threads.

    Of pages that were answered one after another only the last is kept: it has the counts of all.
    """

    def __init__(self) -> None:
        self._waiting: list[FromTeam | Noticed] = []
        self._last: dict[str, int] = {}
        self._lock = Lock()

    def put(self, event: Event) -> None:
        """Take an event."""
        with self._lock:
            if isinstance(event, FromTeam):
                place = self._last.get(event.team)
                if place is not None and isinstance(event.event, Answered):
                    earlier = self._waiting[place]
                    if isinstance(earlier, FromTeam) and isinstance(earlier.event, Answered):
                        self._waiting[place] = event
                        return
                self._last[event.team] = len(self._waiting)
                self._waiting.append(event)
            elif isinstance(event, Noticed):
                self._waiting.append(event)

    def message(self) -> Message:
        """Return all that waits, and forget it."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._last.clear()
        return list(_plain(waiting))


def _plain(events: Iterable[FromTeam | Noticed]) -> Iterator[list[Any]]:
    for event in events:
        team, inner = (event.team, event.event) if isinstance(event, FromTeam) else (None, event)
        yield [team, type(inner).__name__, asdict(inner)]


def events_of(message: Iterable[Iterable[Any]]) -> Iterator[Event]:
    """Yield the events of a message."""
    for team, kind, facts in message:
        event = KINDS[kind](**facts)
        yield event if team is None else FromTeam(team=team, event=event)
