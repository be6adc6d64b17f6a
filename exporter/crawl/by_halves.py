"""Prove a span by halving it until each half fits one page: needs neither order nor boundaries.

It is the last resort, for a server that ignores `sort_by`.
"""

from __future__ import annotations

from exporter.certify.join import Piece, join
from exporter.certify.pages import Page
from exporter.certify.spans import OUTER, Span
from exporter.crawl.crowded_second import whole_second
from exporter.crawl.proof import Proof, Rest, Way
from exporter.crawl.session import TRIES, Doubt, NothingMore, Session


class ByHalves:
    """The halves of a span, a group of pages at a time."""

    way: Way = "halves"

    def __init__(self, session: Session) -> None:
        self._session = session

    async def prove(self, rest: Rest) -> Proof:
        """Return what one group of pages proves of a span."""
        session = self._session
        pieces, pending = list[Piece](), [rest.span]
        hole, doubt = None, ""
        while pending and len(pieces) < session.group_pages:
            span = pending.pop()
            page, whole = await self._page(span)
            if whole:
                pieces.append(Piece(span=span, page=page))
            elif page.rows < session.profile.fullest:
                hole, doubt = span, str(NothingMore(page))
                break
            elif span.seconds > 1:
                middle = span.start + span.seconds // 2
                pending += [Span(middle, span.stop), Span(span.start, middle)]
            else:
                try:
                    rows = await whole_second(session, span.start, page)
                except Doubt as found:
                    hole, doubt = span, str(found)
                    break
                pieces.append(Piece(span=span, page=page, rows=rows))
        chain = await session.off_loop(join, session.zone, pieces)
        return Proof(
            span=Span(rest.span.start, pieces[-1].span.stop if pieces else rest.span.start),
            table=chain.table,
            way=self.way,
            closed=[piece.page for piece in pieces],
            hole=hole,
            doubt=doubt,
        )

    async def _page(self, span: Span) -> tuple[Page, bool]:
        """Ask for a span until its page is full or whole, three times at most; return the page, and if it is whole."""
        for _ in range(TRIES):
            page = await self._session.asker.page(span.start - OUTER, span.stop)
            if (whole := await self._session.is_whole(page)) or page.rows >= self._session.profile.fullest:
                break
        return page, whole
