"""Certify one second that holds more orders than a page: by its pages, else by its facets."""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import pairwise

import pyarrow as pa

from exporter import columns
from exporter.certify.filters import IgnoredFilterError
from exporter.certify.judge import judge, merge
from exporter.certify.pages import Page, absent, at_second
from exporter.certify.spans import Span
from exporter.crawl.session import TRIES, Doubt, Session
from exporter.errors import RejectedError
from exporter.vendor.orders import PRODUCT_LABELS, STATUS_LABELS, TYPE_LABELS, Filters

FACETS = {
    "type": tuple(TYPE_LABELS["en"]),
    "product_type": tuple(PRODUCT_LABELS["en"]),
    "status": tuple(STATUS_LABELS["en"]),
}
"""The filters that divide the orders of one second, with all their codes."""


async def whole_second(session: Session, second: int, seen: Page) -> pa.Table:
    """Return the rows of one second; raise Doubt where neither pages nor facets add up.

    `seen` shows some of them. If they don't come again, the second's bounds leave out a part of it: it is then asked
    for with the seconds around it. So it is at once where records have no order, since `seen` may show none of them.
    """
    profile = session.profile
    if not profile.ascending:
        profile.learn(pad_start=1, pad_end=1)
    padded = profile.pad_start and profile.pad_end
    rows = await _rows(session, second)
    if not padded and await session.off_loop(_missing, session, second, seen, rows):
        profile.learn(pad_start=1, pad_end=1)
        rows = await _rows(session, second)
    return rows


def _missing(session: Session, second: int, seen: Page, rows: pa.Table) -> bool:
    return absent(at_second(session.zone.table([seen.cells]), second), rows) > 0


async def _rows(session: Session, second: int) -> pa.Table:
    try:
        return await _by_pages(session, second)
    except (Doubt, RejectedError) as error:
        reason = str(error)
    for first in FACETS:
        names = (first, *(name for name in FACETS if name != first))
        try:
            pages = await _by_facets(session, second, session.asker.filters, names)
            return await session.off_loop(_joined, session, second, pages)
        except Doubt as error:
            reason = str(error)
    raise Doubt(f"{reason}; neither its pages nor its facets add up")


async def _by_pages(session: Session, second: int) -> pa.Table:
    """Ask for all pages of the second until two rounds of them, one after the other, show the same orders.

    What one try does not show, where ties move, the next one of its round may. One round alone is not enough: with an
    order that goes and one that comes between two of its pages, its count is right though an order slipped through.
    What both show was there when the first one ended; and if their number is the total, it is all there was.
    """
    around = Span(second - 2, second + 3)  # all that its pages may show
    before: pa.Table | None = None
    seen: list[Page] = []
    tries = 0
    reason = "its pages were never whole"
    for _ in range(2 * TRIES):
        pages = await _all_pages(session, second)
        # Tries with another total belong to another state of the server.
        same = all(page.total == pages[0].total for page in seen)
        seen, tries = (seen + pages, tries + 1) if same else (pages, 1)
        verdict = await session.off_loop(partial(judge, around, session.zone, closed=seen, tries=tries))
        if verdict.doubt is None:
            if before is not None and await session.off_loop(_alike, before, verdict.table):
                return at_second(verdict.table, second)
            before, seen, tries = verdict.table, [], 0
            reason = "its pages showed other orders each time"
            continue
        reason = verdict.doubt
        if tries == TRIES:
            break
    raise Doubt(reason)


async def _all_pages(session: Session, second: int) -> list[Page]:
    """Ask for the second's pages, to one that is empty or the last one again, or to the end that the total gives.

    Raise Doubt where asking again will not help.
    """
    pages = [await _page(session, second, 1)]
    count = pages[0].total
    if count is None:
        raise Doubt("the responses have no total")
    if pages[0].rows < min(count, session.profile.fullest):
        return pages  # there was room for more: the page was cut short, or there is no more
    # Where totals may stop at this one, there is more unless a page beyond it is empty.
    enough = count // max(1, pages[0].rows) + 1 + session.profile.may_be_cap(count)
    for number in range(2, enough + 1):
        page = await _page(session, second, number)
        if not page.rows or await session.is_same(pages[-1], page):
            if sum(each.rows for each in pages) < count == page.total:
                raise Doubt(f"{sum(each.rows for each in pages)} orders came, and no more, where the total is {count}")
            break
        pages.append(page)
    goes_on = len(pages) == enough and pages[-1].rows >= session.profile.fullest
    if goes_on or sum(page.rows for page in pages) > count:
        raise Doubt(f"more than the total of {count} orders came")
    if any((left.last or 0) > right.first for left, right in pairwise(pages) if right.first is not None):
        session.profile.learn(ascending=False)
        raise Doubt("the pages did not come in order of time")
    return pages


def _alike(one: pa.Table, other: pa.Table) -> bool:
    return len(one) == len(other) and not absent(one, other)


async def _page(session: Session, second: int, number: int, filters: Filters | None = None) -> Page:
    profile = session.profile
    first, last = second - profile.pad_start, second + profile.pad_end
    return await session.asker.page(first, last, number, filters=filters)


async def _by_facets(session: Session, second: int, filters: Filters, names: tuple[str, ...]) -> list[Page]:
    """Return pages that each show one facet of the second whole, and together all of it."""
    page = await _page(session, second, 1, filters)
    if await session.is_whole(page):
        return [page]
    if page.total is None:
        raise Doubt("no total says whether facets add up")
    if not names:
        raise Doubt(f"more than a page of orders of one second that no filter divides: {page.total}")
    name, *rest = names
    pages: list[Page] = []
    try:
        for code in getattr(filters, name) or FACETS[name]:
            facet = dataclasses.replace(filters, **{name: (code,)})  # type: ignore[arg-type]  # a name of codes
            pages += await _by_facets(session, second, facet, tuple(rest))
    except IgnoredFilterError:
        return await _by_facets(session, second, filters, tuple(rest))  # the server may keep to the others
    rows = sum(part.rows for part in pages)
    if rows != page.total:
        raise Doubt(f"the facets by {name} show {rows} orders where the total is {page.total}")
    return pages


def _joined(session: Session, second: int, pages: list[Page]) -> pa.Table:
    """Return the second's rows of all facets; raise Doubt if two facets show an order that may be one and the same."""
    table = session.zone.table([page.cells for page in pages])
    _, _, repeats = merge(columns.identities(table), pages, [page.rows for page in pages], len(pages))
    if repeats:
        raise Doubt(f"{repeats} orders came under two of the facets: they are alike, or changed meanwhile")
    return at_second(table, second)
