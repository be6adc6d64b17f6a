"""Update one result: compare counts by status, certify anew what differs, keep the rest, replace it in one step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio
import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.pages import Page, absent
from exporter.certify.spans import Span, gaps
from exporter.columns.arrays import whole as in_one_chunk
from exporter.config.options import Settings
from exporter.crawl.engine import Engine, Opened, Outcome
from exporter.crawl.ladder import Ladder
from exporter.crawl.settled import settled_end
from exporter.crawl.threads import InOrder, OffLoop, off_loop
from exporter.delivery.convert import CHANGES, write_changes
from exporter.delivery.output_file import check_name, check_place
from exporter.errors import CertificateError, OutputError, RejectedError
from exporter.events import Event, Finished, Noticed, Resumed, ignore
from exporter.export import Resources, Run, own_resources, summary_of
from exporter.progress.summary import Summary, UpdateSummary
from exporter.result import Diff, Result
from exporter.store.diff import changes_schema
from exporter.store.manifest import Confirmed, Manifest
from exporter.store.old_result import ByStatus, OldResult
from exporter.store.run_facts import RunFacts
from exporter.store.update_store import UpdateStore, finish_interrupted
from exporter.updating.search import (
    ROUNDS,
    Held,
    allowed_counts,
    codes_of,
    counts_of,
    joined,
    requests_of,
    search,
    unknown_in,
    why_anew,
)
from exporter.updating.settings import Adapted, adapted
from exporter.updating.shown import Shown, compared
from exporter.vendor.orders import API_ZONE, Filters

Write = Callable[[pa.Table], None]

COUNTED_AGAIN = 2
"""How often counts by status may not add up to the total before they are not relied on: orders change meanwhile."""

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


class _AnewError(Exception):
    """Counts can't confirm what is kept; the text says why."""


class _TooDearError(_AnewError):
    """Counts could confirm it, but certifying it anew costs less."""


class _Update(Run):
    """One run of an update."""

    manifest: Manifest

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
        self._codes = codes_of(wanted.settings.filters.status)
        self._by_status: dict[Span, ByStatus] = {}
        self._inherited: set[Span] = set()
        """The segments that an earlier run of this update certified: what is in them may have changed since."""
        self._pages: dict[int, Page] = {}
        """The first pages of statuses, as they were counted last."""
        self._confirmed: str | None = None
        """When all that is kept was confirmed last, ISO 8601."""
        self._counts = 0
        self._clock: int | None = None
        """The server's clock in a response to this run, in Unix seconds."""
        self._anew: str | None = None
        self._page_size = wanted.settings.page_size
        """As the server makes pages, once it has shown some."""
        self._is_ours = False
        """The key shows orders that are held."""

    async def _crawl(self, engine: Engine) -> Outcome:
        """Certify what differs and what is new, check the whole."""
        old, store = self._old, self._updates
        run = old.manifest.run
        self._by_status = await self._on_disk(old.by_status)
        for one in store.fresh:
            self._inherited.add(one.span)
            self._by_status[one.span] = _by_status(await self._on_disk(store.read, one.span))
        halves = any(one.certificate.way == "halves" for one in old.segments.values())
        try:
            self._check(why_anew(totals=run.totals, padded=run.padded, ascending=not halves))
            await self._confirm(engine)
        except _AnewError as reason:
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

    @staticmethod
    def _check(reason: str | None) -> None:
        if reason is not None:
            raise _AnewError(reason)

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

        Raise _AnewError with the reason if counts can't do that, or not at a price that is worth it.
        """
        store = self._updates
        if store.whole is not None:  # resumed
            await self._check_ours(engine)
            await self._cover(engine)
            self._check(_reason(engine))
        for number in range(ROUNDS):
            if not (store.kept or self._inherited):
                break
            allowed = allowed_counts(requests_of(self._old.rows, self._page_size))
            if number and self._counts + len(self._codes) > allowed:
                raise _TooDearError("more and more of it differs, and counting on costs more than that")
            held = self._held()
            server = await self._counted(engine, held)
            self._page_size = engine.profile.page_size
            if store.whole is None:
                await self._begin_range(engine)
            doubtful: list[Held] = []
            shown = await self._compare_shown(engine, held)
            if server == counts_of(held, self._codes) and not shown.differing:
                self._confirmed = datetime.fromtimestamp(self._clock or time.time(), API_ZONE).isoformat()
            else:
                doubtful = await self._search(engine, held, server, shown, allowed)
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

    async def _counted(self, engine: Engine, held: Sequence[Held]) -> dict[int, int]:
        """Return the server's counts by status of all that is held; raise _AnewError if they don't add up to its total.

        No total is asked for where all of them are as expected: the final check asks for it anyway.
        """
        span = Span(held[0].span.start, held[-1].span.stop)
        expected, unknown = counts_of(held, self._codes), unknown_in(held, self._codes)
        if unknown and not any(expected.values()):
            raise _AnewError("no order's status is one that is known in this language, so there is nothing to count by")
        for _ in range(COUNTED_AGAIN):
            self._pages.clear()
            server = {code: await self._count(engine, span, code, expected[code]) for code in self._codes}
            if server == expected:
                return server
            total = await engine.asker.count(span.start, span.stop - 1)
            self._counts += 1
            if total is None or engine.profile.totals != "exact":
                break
            if sum(server.values()) + unknown == total:
                if total < sum(one.rows for one in held):
                    await self._check_length(engine, held, total)
                return server
        raise _AnewError(
            "the server's counts by status do not add up to its total: "
            f"{' + '.join(f'{count:,}' for count in server.values())} and {unknown:,} of unknown status, not {total}"
        )

    async def _check_length(self, engine: Engine, held: Sequence[Held], total: int) -> None:
        """Raise _AnewError if a range with fewer orders than before has fewer than its two halves: it is cut then.

        They meet at a second with an order, so that each has orders near that end.
        """
        middle = held[len(held) // 2].span.start
        if len(held) == 1:
            rows = await self._on_disk(self._updates.read, held[0].span)
            middle = columns.seconds(rows)[len(rows) // 2].as_py()
        first, last = held[0].span.start, held[-1].span.stop - 1
        if first < middle:
            halves = [await engine.asker.count(*half) for half in ((first, middle - 1), (middle, last))]
            self._counts += 2
            if None in halves or sum(filter(None, halves)) != total:
                raise _AnewError(f"the server counts {total:,} orders in all, and {halves} in the two halves")

    async def _count(self, engine: Engine, span: Span, code: int, expected: int | None = None) -> int:
        """Return how many orders of a status the server counts; raise _AnewError if it gives no usable number.

        Of all that is held, some are `expected`. Where they fit a page, it is asked for, and shows them; so it is at
        first, where it shows whether the key is this team's.
        """
        self._counts += 1
        filters = replace(self._settings.filters, status=(code,))
        try:
            if expected is not None and (self._updates.whole is None or expected <= self._settings.page_size):
                total = await self._count_by_page(engine, span, code, filters)
            else:
                total = await engine.asker.count(span.start, span.stop - 1, filters=filters)
        except (RejectedError, CertificateError) as error:
            raise _AnewError(f"the server does not count by status: {error}") from error
        self._check(_reason(engine))
        if total is None:
            raise _AnewError("the server gives no total of a status")
        return total

    async def _count_by_page(self, engine: Engine, span: Span, code: int, filters: Filters) -> int | None:
        response = await engine.asker.response(span.start, span.stop - 1, filters=filters)
        self._clock = response.date or self._clock
        self._pages[code] = page = engine.asker.shown(response)
        return page.total

    async def _compare_shown(self, engine: Engine, held: Sequence[Held]) -> Shown:
        """Compare the orders of those statuses of which a page shows all."""
        whole = {code: page for code, page in self._pages.items() if page.rows == page.total}
        off_loop, zone = engine.session.off_loop, engine.session.zone
        tables = {code: await off_loop(zone.table, [page.cells]) for code, page in whole.items()}
        return await off_loop(compared, tables, held, self._updates.read)

    async def _begin_range(self, engine: Engine) -> None:
        """Fix the range, once the first responses showed the server's clock and the team."""
        end = settled_end(self._settings, self._clock or int(time.time()))
        self._is_ours = await self._are_ours(engine)
        await self._check_ours(engine)
        await self._freeze(max(end + 1, self._old.whole.stop))

    async def _freeze(self, stop: int) -> None:
        await self._on_disk(self._updates.freeze, Span(self._old.whole.start, stop))

    async def _are_ours(self, engine: Engine) -> bool:
        """Return whether the first pages of the statuses show an order that is held."""
        pages = [page for page in self._pages.values() if page.rows]
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
        chosen = [spans[place] for place in sorted({0, len(spans) // 2, len(spans) - 1})]
        held = [await self._on_disk(self._old.read, span) for span in chosen]
        if not await engine.is_same_team([*held, *(rows[:1] for rows in held), *(rows[-1:] for rows in held)]):
            raise OutputError(
                f"{self._out} is the result of another team's key: none of the orders asked for came again",
                hint="use the key that it was exported with, or another OUT",
            )
        self._is_ours = True

    async def _search(
        self, engine: Engine, held: Sequence[Held], server: Mapping[int, int], shown: Shown, allowed: int
    ) -> list[Held]:
        """Return the segments to certify anew."""
        left = allowed - self._counts - len(self._codes)  # the next round
        deciding = search(held, server, page_size=self._page_size, allowed=left, known=shown.counts)
        try:
            question = next(deciding)
            while True:
                question = deciding.send(await self._count(engine, question.span, question.status))
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
        self._check(_reason(engine))

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
        self._by_status[certificate.span] = _by_status(table)
        self._inherited.discard(certificate.span)

    def _report_what_is_held(self) -> None:
        fresh, whole = self._updates.fresh, self._updates.whole
        if fresh and whole is not None:
            self._on_event(Resumed(rows=self._fresh_before, segments=len(fresh), end=whole.stop - 1))

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


def _by_status(table: pa.Table) -> ByStatus:
    counted = in_one_chunk(table["status_code"]).value_counts()
    return Counter({entry["values"].as_py(): entry["counts"].as_py() for entry in counted})


def _reason(engine: Engine) -> str | None:
    profile = engine.profile
    return why_anew(totals=profile.totals, padded=profile.padded, ascending=profile.ascending)


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
