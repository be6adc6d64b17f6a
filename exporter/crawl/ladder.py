"""Certify spans by the cheapest strategy that the server profile still allows; commit them or give them up.

A strategy yields a proof (rows and the evidence for them), or raises a finding: the profile has then learned that the
strategy is of no use with this server, and the next one is tried. In order of cost:

- pages (`by_pages`): a planned segment's pages and their total, a doubtful second asked for alone;
- seek (`by_seek`): first pages only, each a snapshot; needs records in order of time;
- halves (`by_halves`): needs nothing but that one response is one snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from exporter import columns
from exporter.certify.join import OPEN, Boundary
from exporter.certify.judge import Certificate
from exporter.certify.pages import Page
from exporter.certify.spans import Span
from exporter.crawl.by_halves import ByHalves
from exporter.crawl.by_pages import ByPages, Doubtful, Plan, ProofByPages
from exporter.crawl.by_seek import BySeek
from exporter.crawl.proof import Finding, Proof, Rest
from exporter.crawl.session import Commit, Session, uncertified

UNRELIABLE = "another window found that its pages can't be relied on"


class Ladder:
    """The strategies of one export, from the cheapest down."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._by_pages = ByPages(session)
        self._others = (BySeek(session), ByHalves(session))

    async def certify(
        self,
        span: Span,
        *,
        boundary: Boundary = OPEN,
        first: Page | None = None,
        reason: str | None = None,
        commit: Commit | None = None,
    ) -> int:
        """Commit all of a span that can be proven without its pages; return the rows committed.

        What can't be proven goes to `session.missing`. `boundary` is what is known of the span's first second, `first`
        its first page, if that has come; `reason` says why a repair was needed; `commit` takes the rows instead of the
        session's.
        """
        return await self.resume(Rest(span=span, boundary=boundary, first=first), reason=reason, commit=commit)

    async def resume(
        self, rest: Rest, proof: Proof | None = None, *, reason: str | None = None, commit: Commit | None = None
    ) -> int:
        """Do the same for what is left of a span, beginning with a proof of it that has been found already."""
        rows = 0
        while rest.span.seconds > 0:
            if proof is None or not self._session.profile.allows(proof.way):
                proof = await self.prove(rest)
            if proof.span.seconds:
                await (commit or self._session.commit)(proof.certificate(reason), proof.table)
                rows += proof.table.num_rows
            if proof.hole is not None:
                self._session.give_up(proof.hole, proof.doubt)
            rest, proof = proof.rest(rest), None
        return rows

    async def prove(self, rest: Rest) -> Proof:
        """Return a proof of the first part of a span; nothing is committed yet."""
        profile = self._session.profile
        while True:
            strategy = next(one for one in self._others if profile.allows(one.way))
            try:
                proof = await strategy.prove(rest)
            except Finding:
                continue  # the strategy is not allowed any more
            if profile.allows(proof.way):  # else another window found out meanwhile what it can't rest on
                return proof

    async def certify_again(
        self,
        certificate: Certificate,
        *,
        parts: Sequence[Span] | None = None,
        table: pa.Table | None = None,
        reason: str,
    ) -> None:
        """Commit a segment anew, with parts of it (None: all of it) as the server shows them now.

        `table` holds the segment's rows; none are needed if the parts are the whole of it. The strategy is then the
        one that needs the most, of those that the rows rest on. Raise CertificateError if a part can't be certified.
        """
        session, span = self._session, certificate.span
        parts = [span] if parts is None else parts
        table = session.zone.table([]) if table is None else table
        ways = set() if sum(part.seconds for part in parts) == span.seconds else {certificate.way}
        for part in parts:
            fresh: list[pa.Table] = []

            async def collect(found: Certificate, rows: pa.Table, fresh: list[pa.Table] = fresh) -> None:
                ways.add(found.way)
                fresh.append(rows)

            await self.certify(part, commit=collect)
            if session.missing:
                raise uncertified(session.missing)
            before, after = table[: columns.place_of(table, part.start)], table[columns.place_of(table, part.stop) :]
            table = pa.concat_tables([before, *fresh, after]).combine_chunks()
        way = next(one for one in ("pages", "seek", "halves") if one in ways)
        await session.commit(replace(certificate, rows=table.num_rows, way=way, reason=reason), table)
        session.note_repair(span, reason, "asking again")

    async def prove_by_pages(self, plan: Plan) -> ProofByPages:
        """Return the proof of a planned segment by its pages; raise Doubtful if they don't prove it."""
        return await self._by_pages.prove(plan)

    async def certify_segment(self, plan: Plan) -> None:
        """Commit a planned segment."""
        try:
            proof = await self.prove_by_pages(plan)
        except Doubtful as doubt:
            await self.repair(plan, doubt)
        else:
            await self.commit(proof, plan.boundary)

    async def repair(self, plan: Plan, doubt: Doubtful) -> None:
        """Commit a segment that its pages don't prove, and learn from the difference why they don't."""
        rows = await self.certify(plan.span, boundary=plan.boundary, reason=str(doubt))
        self._session.note_repair(plan.span, str(doubt), "seek")
        self._by_pages.compare(plan, doubt, rows)

    async def commit(self, proof: Proof, boundary: Boundary) -> None:
        """Commit what is proven, as long as the profile allows it; else prove it another way."""
        if not self._session.profile.allows(proof.way):
            await self.certify(proof.span, boundary=boundary, reason=UNRELIABLE)
        elif proof.span.seconds:
            await self._session.commit(proof.certificate(None), proof.table)
