"""What all windows of one export share: how to ask, where to judge, where certified rows go, what was given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pyarrow as pa

from exporter.certify.judge import Certificate
from exporter.certify.pages import Page, Zone, absent
from exporter.certify.profile import ServerProfile
from exporter.certify.spans import Span
from exporter.crawl.asker import Asker
from exporter.crawl.threads import OffLoop
from exporter.errors import CertificateError, RejectedError
from exporter.events import Event, Noticed, Repaired

TRIES = 3
"""How often a doubtful response is asked for again before its span stays out of the result."""


class Doubt(Exception):  # noqa: N818 - no error yet: another strategy is tried first
    """What came can't be certified as it is; the text says why."""


class NothingMore(Doubt):
    """A total promises more than all that comes."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"the total of {page.request} is {page.total}, but only {page.rows} records come")


Commit = Callable[[Certificate, pa.Table], Awaitable[None]]
"""Take certified rows, in the result's order."""


@dataclass(kw_only=True)
class Session:
    """What the windows of one export share."""

    asker: Asker
    zone: Zone
    emit: Callable[[Event], None]
    commit: Commit
    off_loop: OffLoop
    group_pages: int
    """Pages that are certified and committed together in a seek."""
    final_check: bool
    """A total of the whole range is asked for in the end."""
    missing_at_most: int | None
    """The number of spans that may stay uncertified before the export ends; None: any."""
    missing: dict[Span, str] = field(default_factory=dict)
    """The spans that could not be certified, and why."""
    repaired: int = 0

    @property
    def profile(self) -> ServerProfile:
        """What the server was found to do."""
        return self.asker.profile

    async def is_whole(self, page: Page) -> bool:
        """Return whether one response shows all there is in its range: a snapshot.

        A total alone proves that only for a page that had room for more. Otherwise the next page must be empty; and
        unless it comes with the same total, the page itself must still be the same then. Servers may also refuse the
        next page, or show the last one again. Without a total that proves something only of a page that had room:
        a full one may be the last that the server goes to.
        """
        if page.total not in {None, page.rows}:
            return False
        if not page.rows or (page.total is not None and page.rows < self.profile.fullest):
            return True
        asked = page.request
        proves = page.total is not None or self.profile.has_room(page.rows)
        try:
            beyond = await self.asker.page(asked.first, asked.last, 2, filters=asked.filters)
        except RejectedError:
            if not proves:
                return False
        else:
            if beyond.rows:
                return proves and await self.is_same(page, beyond)
            if page.total is not None and page.total == beyond.total:
                return True
        again = await self.asker.page(asked.first, asked.last, filters=asked.filters)
        return await self.is_same(page, again)

    async def is_same(self, one: Page, other: Page) -> bool:
        """Return whether two pages show the same orders of the same total: past the end, servers may repeat the last.

        One that answers for another range may happen to show the same, but its total is another.
        """
        if (one.rows, one.total) != (other.rows, other.total):
            return False
        tables = [self.zone.table([page.cells]) for page in (one, other)]
        return not await self.off_loop(absent, *tables)

    def note_repair(self, span: Span, reason: str, by: str) -> None:
        """Count and report a repair."""
        self.repaired += 1
        self.emit(Repaired(start=span.start, stop=span.stop, reason=reason, by=by))

    def give_up(self, span: Span, reason: str) -> None:
        """Leave a span out; raise CertificateError when there are too many for the rest to be of use."""
        self.missing[span] = reason
        self.emit(Noticed(message=f"could not certify {span}: {reason}"))
        if self.missing_at_most is not None and len(self.missing) > self.missing_at_most:
            raise uncertified(self.missing)


def uncertified(missing: dict[Span, str]) -> CertificateError:
    """Return the error that names the spans that could not be certified."""
    spans = "; ".join(f"{span}: {reason}" for span, reason in sorted(missing.items()))
    return CertificateError(
        f"{len(missing)} span{'s' * (len(missing) > 1)} could not be certified: {spans}",
        hint="what is certified is kept: the same command asks for these spans again; "
        "--allow-uncertified writes the result without them",
    )
