"""Update one result: compare counts by status, certify anew what differs, keep the rest, replace it in one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio
import pyarrow as pa

from exporter.certify.judge import Certificate
from exporter.certify.pages import absent
from exporter.certify.spans import Span, gaps
from exporter.config.options import Settings
from exporter.crawl.engine import Engine, Opened, Outcome
from exporter.crawl.ladder import Ladder
from exporter.crawl.settled import settled_end
from exporter.crawl.threads import InOrder, OffLoop, off_loop
from exporter.delivery.convert import CHANGES, write_changes
from exporter.delivery.output_file import check_name, check_place
from exporter.errors import CertificateError, OutputError
from exporter.events import Event, Finished, Noticed, Resumed, ignore
from exporter.export import Resources, Run, own_resources, some_of, summary_of
from exporter.progress.summary import Summary, UpdateSummary
from exporter.result import Diff, Result
from exporter.store.diff import changes_schema
from exporter.store.manifest import Confirmed, Manifest
from exporter.store.old_result import ByStatus, OldResult, counts_by_status
from exporter.store.run_facts import RunFacts
from exporter.store.update_store import UpdateStore, finish_interrupted
from exporter.updating.counting import AnewError, StatusCounts, check
from exporter.updating.search import (
    ROUNDS,
    Held,
    allowed_counts,
    counts_of,
    joined,
    requests_of,
    search,
    why_anew,
)
from exporter.updating.settings import Adapted, adapted
from exporter.updating.shown import Shown
from exporter.vendor.orders import API_ZONE

Write = Callable[[pa.Table], None]

STATUS_CHANGED = "its orders by status are no longer those that it holds"


async def update(
    out: Path,
    made: Settings,
    *,
    changes: Path | Write | None = None,
    on_event: Callable[[Event], None] = ignore,
    resources: Resources | None = None,
    on_opened: Opened | None = None,
) -> UpdateSummary:
    """Bring the result in OUT up to date, or resume that; of the settings' query only the end counts.

    `changes` takes the orders that differ: a file to write, or a function that is called with them in another thread.
    Raise an ExportError if it can't be done: OUT is then as it was, what is certified stays, and the same call resumes.
    """
    began = time.monotonic()
    with nullcontext(resources) if resources else own_resources() as shared:
        on_disk = off_loop(InOrder(shared.threads.disk))
        recovered = await on_disk(partial(finish_interrupted, out))
        if recovered is not None:
            return _described(summary_of(out, recovered, elapsed=time.monotonic() - began), recovered)
        old = await on_disk(partial(_loaded, out, changes))
        wanted = adapted(made, old.manifest)
        await on_disk(old.check_parts)
        store = await on_disk(
            partial(
                UpdateStore.open_update,
                old,
                wanted.query,
                parts_executor=InOrder(shared.threads.parts),
                fresh=made.fresh,
            )
        )
        try:
            run = _Update(
                out,
                wanted,
                store,
                changes=changes,
                resources=shared,
                on_disk=on_disk,
                on_event=on_event,
                on_opened=on_opened,
            )
            summary = _described(await run.run(began), run.manifest)
        finally:
            with anyio.CancelScope(shield=True):
                await on_disk(store.close)
    on_event(Finished(rows=summary.rows, complete=summary.complete))
    return summary


def _loaded(out: Path, changes: Path | Write | None) -> OldResult:
    """Return the result to update; raise ConfigError if changes can't be written to the file that is named."""
    old = OldResult.load(out)
    if isinstance(changes, Path):
        check_name(changes, CHANGES)
        check_place(changes, [(None, old.result)])
    return old


class _TooDearError(AnewError):
    """Counts could confirm it, but certifying it anew costs less."""


class _Update(Run):
    """One run of an update."""

    manifest: Manifest
    _counts: StatusCounts

    def __init__(
        self,
        out: Path,
        wanted: Adapted,
        store: UpdateStore,
        *,
        changes: Path | Write | None,
        resources: Resources,
        on_disk: OffLoop,
        on_event: Callable[[Event], None],
        on_opened: Opened | None,
    ) -> None:
        super().__init__(
            out,
            wanted.settings,
            store,
            resources=resources,
            on_disk=on_disk,
            on_event=on_event,
            on_opened=on_opened,
        )
        self._updates = store
        self._old = store.old
        self._changes = changes
        self._fresh_before = sum(one.rows for one in store.fresh)
        self._by_status: dict[Span, ByStatus] = {}
        self._inherited: set[Span] = set()
        """The segments that an earlier run of this update certified: what is in them may have changed since."""
        self._confirmed: str | None = None
        """When all that is kept was confirmed last, ISO 8601."""
        self._anew: str | None = None
        self._page_size = wanted.settings.page_size
        """As the server makes pages, once it has shown some."""
        self._is_ours = False
        """The key shows orders that are held."""

    async def _crawl(self, engine: Engine) -> Outcome:
        """Certify what differs and what is new, check the whole."""
        old, store = self._old, self._updates
        run = old.manifest.run
        self._counts = StatusCounts(engine, store, self._settings, on_disk=self._on_disk)
        self._by_status = await self._on_disk(old.by_status)
        for one in store.fresh:
            self._inherited.add(one.span)
            self._by_status[one.span] = counts_by_status((await self._on_disk(store.read, one.span))["status_code"])
        halves = any(one.certificate.way == "halves" for one in old.segments.values())
        try:
            check(why_anew(totals=run.totals, padded=run.padded, ascending=not halves))
            await self._confirm(engine)
        except AnewError as reason:
            await self._export_anew(engine, str(reason))
            if isinstance(reason, _TooDearError):
                await self._certify_again(engine, self._inherited)
        outcome = await self._checked(engine)
        if outcome.failure is not None and self._anew is None and store.kept and not engine.session.missing:
            await self._export_anew(engine, f"the end-to-end total could not be reached: {outcome.failure}")
            outcome = await self._checked(engine)
        return outcome

    async def _checked(self, engine: Engine) -> Outcome:
        """Make the end-to-end check."""
        if failure := engine.uncertified():
            return Outcome(checked=False, failure=failure)
        read, fit = self._updates.read, self._anew is None
        try:
            return Outcome(checked=await engine.check(self._whole, self._certificates, read, counts_fit=fit))
        except CertificateError as error:
            return Outcome(checked=False, failure=error)

    @property
    def _whole(self) -> Span:
        whole = self._updates.whole
        assert whole is not None  # noqa: S101  # it is frozen before anything is covered
        return whole

    def _certificates(self) -> list[Certificate]:
        return self._updates.certificates

    async def _export_anew(self, engine: Engine, reason: str) -> None:
        """Keep nothing more of the old result, and certify all that is left."""
        store = self._updates
        self._anew = reason
        self._on_event(Noticed(message=f"everything is exported anew: {reason}"))
        if store.whole is None:
            stop = (await engine.freeze()).stop
            await self._freeze(max(stop, self._old.whole.stop))
        await self._check_ours(engine)
        store.drop(one.span for one in store.kept)
        await self._cover(engine, silences=True)

    async def _confirm(self, engine: Engine) -> None:
        """Compare counts, certify anew what differs, until all that is kept is confirmed.

        Raise AnewError with the reason if counts can't do that, or not at a price that is worth it.
        """
        store = self._updates
        if store.whole is not None:  # resumed
            await self._check_ours(engine)
            await self._cover(engine)
            self._counts.check_profile()
        for number in range(ROUNDS):
            if not (store.kept or self._inherited):
                break
            allowed = allowed_counts(requests_of(self._old.rows, self._page_size))
            if number and self._counts.asked + len(self._counts.codes) > allowed:
                raise _TooDearError("more and more of it differs, and counting on costs more than that")
            held = self._held()
            server = await self._counts.of_all(held)
            self._page_size = engine.profile.page_size
            if store.whole is None:
                await self._begin_range(engine)
            doubtful: list[Held] = []
            shown = await self._counts.compare_shown(held)
            if server == counts_of(held, self._counts.codes) and not shown.differing:
                self._confirmed = datetime.fromtimestamp(self._counts.clock or time.time(), API_ZONE).isoformat()
            else:
                doubtful = await self._search(held, server, shown, allowed)
            await self._certify_anew(engine, doubtful, held)
            if not doubtful:
                break
        else:
            raise _TooDearError(f"counts still differ after {ROUNDS} rounds")

    def _held(self) -> list[Held]:
        """Return the segments up to the last one that this run did not certify: counts need not reach further."""
        kept = {one.span for one in self._updates.kept}
        stop = max(span.stop for span in kept | self._inherited)
        return [
            Held(span=one.span, rows=one.rows, by_status=self._by_status[one.span], kept=one.span in kept)
            for one in self._updates.certificates
            if one.span.stop <= stop
        ]

    async def _begin_range(self, engine: Engine) -> None:
        """Fix the range, once the first responses showed the server's clock and the team."""
        end = settled_end(self._settings, self._counts.clock or int(time.time()))
        self._is_ours = await self._are_ours(engine)
        await self._check_ours(engine)
        await self._freeze(max(end + 1, self._old.whole.stop))

    async def _freeze(self, stop: int) -> None:
        await self._on_disk(self._updates.freeze, Span(self._old.whole.start, stop))

    async def _are_ours(self, engine: Engine) -> bool:
        """Return whether the first pages of the statuses show an order that is held."""
        pages = [page for page in self._counts.pages.values() if page.rows]
        for page in sorted(pages, key=lambda page: (page.last or 0) - (page.first or 0)):
            span = next((span for span in self._old.segments if (page.first or 0) in span), None)
            if span is not None:
                seen = await engine.session.off_loop(engine.session.zone.table, [page.cells])
                held = await self._on_disk(self._old.read, span)
                if await engine.session.off_loop(absent, seen, held) < page.rows:
                    return True
        return False

    async def _check_ours(self, engine: Engine) -> None:
        """Raise OutputError if the key shows none of some of the orders that are held; once is enough."""
        if self._is_ours:
            return
        spans = [span for span, one in self._old.segments.items() if one.rows]
        if not spans:
            return
        held = [await self._on_disk(self._old.read, span) for span in some_of(spans)]
        if not await engine.is_same_team([*held, *(rows[:1] for rows in held), *(rows[-1:] for rows in held)]):
            raise OutputError(
                f"{self._out} is the result of another team's key: none of the orders asked for came again",
                hint="use the key that it was exported with, or another OUT",
            )
        self._is_ours = True

    async def _search(self, held: Sequence[Held], server: Mapping[int, int], shown: Shown, allowed: int) -> list[Held]:
        """Return the segments to certify anew."""
        left = allowed - self._counts.asked - len(self._counts.codes)  # the next round
        deciding = search(held, server, page_size=self._page_size, allowed=left, known=shown.counts)
        try:
            question = next(deciding)
            while True:
                question = deciding.send(await self._counts.of(question.span, question.status))
        except StopIteration as end:
            spans = {one.span for one in end.value} | shown.differing
            found = [one for one in held if one.span in spans]
            # What this run certified itself is doubted last: a run of segments may be in doubt as a whole.
            return [one for one in found if one.kept or one.span in self._inherited] or found

    async def _certify_anew(self, engine: Engine, doubtful: Sequence[Held], held: Sequence[Held]) -> None:
        """Certify segments anew, and what no segment covers; those of this update where they are."""
        store = self._updates
        store.drop(joined([one.span for one in doubtful], held, page_size=self._page_size))
        await self._cover(engine)
        await self._certify_again(engine, {one.span for one in doubtful if not one.kept})
        self._counts.check_profile()

    async def _certify_again(self, engine: Engine, spans: Collection[Span]) -> None:
        """Certify segments of this update anew, where they are."""
        for certificate in [one for one in self._certificates() if one.span in spans]:
            await Ladder(engine.session).certify_again(certificate, reason=STATUS_CHANGED)

    async def _cover(self, engine: Engine, *, silences: bool = False) -> None:
        """Certify what no segment covers."""
        held = self._certificates()
        rows = sum(one.rows for one in held)
        spans = gaps(self._whole, [one.span for one in held])
        expected = max(rows, self._old.rows)
        await engine.cover(self._whole, spans, committed=rows, silences=silences, expected=expected)

    def _store_segment(self, certificate: Certificate, table: pa.Table) -> None:
        super()._store_segment(certificate, table)
        self._by_status[certificate.span] = counts_by_status(table["status_code"])
        self._inherited.discard(certificate.span)

    def _report_what_is_held(self) -> None:
        if fresh := self._updates.fresh:
            self._on_event(Resumed(rows=self._fresh_before, segments=len(fresh), end=self._frozen_end))

    def _finish(self, facts: RunFacts, missing: Sequence[Span]) -> Manifest:
        kept = self._updates.kept
        facts = replace(
            facts,
            segments_kept=len(kept),
            requests_full=requests_of(sum(one.rows for one in self._updates.certificates), self._page_size),
            anew=self._anew,
        )
        confirmed = {
            one.span: Confirmed(
                time=self._confirmed or "",
                counts={str(code): count for code, count in sorted(self._known(one.span).items())},
            )
            for one in kept
        }
        self.manifest, _ = self._updates.finish_update(
            facts, confirmed=confirmed, missing=missing, compare=self._write_changes
        )
        return self.manifest

    def _known(self, span: Span) -> dict[int, int]:
        return {code: count for code, count in self._by_status[span].items() if code is not None}

    def _write_changes(self, make: Callable[[Write], Diff], old: Result, new: Result) -> Diff:
        if not isinstance(self._changes, Path):
            return make(self._changes or (lambda _: None))
        return write_changes(
            self._changes, [(None, old), (None, new)], changes_schema([(None, old)], [(None, new)]), make
        )

    def _fetched(self, manifest: Manifest) -> int:
        kept = sum(one.rows for one in manifest.segments if one.confirmed is not None)
        return manifest.rows - kept - self._fresh_before


def _described(summary: Summary, manifest: Manifest) -> UpdateSummary:
    """Return the figures of a run with those of its update."""
    run = manifest.run
    return UpdateSummary(
        **{name: getattr(summary, name) for name in Summary.__dataclass_fields__},
        added=run.added or 0,
        changed=run.changed or 0,
        vanished=run.vanished or 0,
        segments_kept=run.segments_kept or 0,
        requests_full=run.requests_full or 0,
        anew=run.anew,
    )
