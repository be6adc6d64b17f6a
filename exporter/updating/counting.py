"""Ask the server for counts by status, and for the pages that show all orders of one; or find that it can't be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exporter import columns
from exporter.certify.pages import Page
from exporter.certify.spans import Span
from exporter.config.options import Settings
from exporter.crawl.engine import Engine
from exporter.crawl.threads import OffLoop
from exporter.errors import CertificateError, RejectedError
from exporter.store.update_store import UpdateStore
from exporter.updating.search import Held, codes_of, counts_of, unknown_in, why_anew
from exporter.updating.shown import Shown, compared
from exporter.vendor.orders import Filters

COUNTED_AGAIN = 2
"""How often counts by status may not add up to the total before they are not relied on: orders change meanwhile."""


class AnewError(Exception):
    """Counts can't confirm what is kept; the text says why."""


def check(reason: str | None) -> None:
    """Raise AnewError if there is a reason."""
    if reason is not None:
        raise AnewError(reason)


class StatusCounts:
    """The counts of one run of an update."""

    def __init__(self, engine: Engine, store: UpdateStore, settings: Settings, *, on_disk: OffLoop) -> None:
        self._engine = engine
        self._store = store
        self._settings = settings
        self._on_disk = on_disk
        self.codes = codes_of(settings.filters.status)
        self.pages: dict[int, Page] = {}
        """The first pages of statuses, as they were counted last."""
        self.asked = 0
        """The counts that were asked for."""
        self.clock: int | None = None
        """The server's clock in its last response, in Unix seconds."""

    async def of_all(self, held: Sequence[Held]) -> dict[int, int]:
        """Return the server's counts by status of all that is held; raise AnewError if they don't add up to its total.

        No total is asked for where all of them are as expected: the final check asks for it anyway.
        """
        span = Span(held[0].span.start, held[-1].span.stop)
        expected, unknown = counts_of(held, self.codes), unknown_in(held, self.codes)
        if unknown and not any(expected.values()):
            raise AnewError("no order's status is one that is known in this language, so there is nothing to count by")
        for _ in range(COUNTED_AGAIN):
            self.pages.clear()
            server = {code: await self.of(span, code, expected[code]) for code in self.codes}
            if server == expected:
                return server
            total = await self._engine.asker.count(span.start, span.stop - 1)
            self.asked += 1
            if total is None or self._engine.profile.totals != "exact":
                break
            if sum(server.values()) + unknown == total:
                if total < sum(one.rows for one in held):
                    await self._check_length(held, total)
                return server
        raise AnewError(
            "the server's counts by status do not add up to its total: "
            f"{' + '.join(f'{count:,}' for count in server.values())} and {unknown:,} of unknown status, not {total}"
        )

    async def _check_length(self, held: Sequence[Held], total: int) -> None:
        """Raise AnewError if a range with fewer orders than before has fewer than its two halves: it is cut then.

        They meet at a second with an order, so that each has orders near that end.
        """
        middle = held[len(held) // 2].span.start
        if len(held) == 1:
            rows = await self._on_disk(self._store.read, held[0].span)
            middle = columns.seconds(rows)[len(rows) // 2].as_py()
        first, last = held[0].span.start, held[-1].span.stop - 1
        if first < middle:
            halves = [await self._engine.asker.count(*half) for half in ((first, middle - 1), (middle, last))]
            self.asked += 2
            if None in halves or sum(filter(None, halves)) != total:
                raise AnewError(f"the server counts {total:,} orders in all, and {halves} in the two halves")

    async def of(self, span: Span, code: int, expected: int | None = None) -> int:
        """Return how many orders of a status the server counts; raise AnewError if it gives no usable number.

        Of all that is held, some are `expected`. Where they fit a page, it is asked for, and shows them; so it is at
        first, where it shows whether the key is this team's.
        """
        self.asked += 1
        filters = replace(self._settings.filters, status=(code,))
        try:
            if expected is not None and (self._store.whole is None or expected <= self._settings.page_size):
                total = await self._count_by_page(span, code, filters)
            else:
                total = await self._engine.asker.count(span.start, span.stop - 1, filters=filters)
        except (RejectedError, CertificateError) as error:
            raise AnewError(f"the server does not count by status: {error}") from error
        self.check_profile()
        if total is None:
            raise AnewError("the server gives no total of a status")
        return total

    async def _count_by_page(self, span: Span, code: int, filters: Filters) -> int | None:
        response = await self._engine.asker.response(span.start, span.stop - 1, filters=filters)
        self.clock = response.date or self.clock
        self.pages[code] = page = self._engine.asker.shown(response)
        return page.total

    async def compare_shown(self, held: Sequence[Held]) -> Shown:
        """Compare the orders of those statuses of which a page shows all."""
        whole = {code: page for code, page in self.pages.items() if page.rows == page.total}
        off_loop, zone = self._engine.session.off_loop, self._engine.session.zone
        tables = {code: await off_loop(zone.table, [page.cells]) for code, page in whole.items()}
        return await off_loop(compared, tables, held, self._store.read)

    def check_profile(self) -> None:
        """Raise AnewError if the server has shown that its counts can't be relied on."""
        profile = self._engine.profile
        check(why_anew(totals=profile.totals, padded=profile.padded, ascending=profile.ascending))
