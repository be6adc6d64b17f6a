"""The search by counts: exact for statuses that only go forward, and never dearer than it may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.certify.spans import Span
from exporter.updating.search import (
    Held,
    Question,
    allowed_counts,
    codes_of,
    counts_of,
    joined,
    requests_of,
    search,
    unknown_in,
    why_anew,
)

UNPAID, CANCELLED, PAID, FAILED, FINISHED, EXPIRED, REFUNDED = codes_of(())
LATER = {UNPAID: (PAID, CANCELLED, EXPIRED, FAILED), PAID: (FINISHED, CANCELLED, FAILED), FINISHED: (REFUNDED,)}
PAGE = 2


@dataclass
class World:
    """Orders by segment, as they are now and as they are held; what was asked is counted."""

    now: list[list[int]]
    held: list[list[int]] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held = self.held or [list(one) for one in self.now]

    def run(self) -> list[Held]:
        return [held(number, statuses) for number, statuses in enumerate(self.held)]

    def counts(self, span: Span, codes: Sequence[int] = codes_of(())) -> dict[int, int]:
        found = Counter(status for one in self.now[span.start : span.stop] for status in one)
        return {code: found[code] for code in codes}

    def round(self, *, allowed: int = 10**6) -> list[int] | None:
        """Compare all counts, certify anew what the search finds; None if all agree."""
        run, server = self.run(), self.counts(Span(0, len(self.now)))
        if server == counts_of(run, server):
            return None
        found = searched(run, server, self.answer, allowed=allowed)
        for one in found:
            self.held[one.span.start] = list(self.now[one.span.start])
        return [one.span.start for one in found]

    def answer(self, question: Question) -> int:
        self.asked.append(question)
        return self.counts(question.span)[question.status]


def held(number: int, statuses: Sequence[int], *, kept: bool = True, rows: int | None = None) -> Held:
    count = len(statuses) if rows is None else rows
    return Held(span=Span(number, number + 1), rows=count, by_status=Counter(statuses), kept=kept)


def searched(
    run: Sequence[Held],
    server: Mapping[int, int],
    answer: Callable[[Question], int],
    *,
    allowed: int = 10**6,
    page_size: int = PAGE,
) -> list[Held]:
    deciding = search(run, server, page_size=page_size, allowed=allowed)
    try:
        question = next(deciding)
        while True:
            question = deciding.send(answer(question))
    except StopIteration as end:
        found: list[Held] = end.value
        return found


statuses = st.lists(st.sampled_from(codes_of(())), max_size=12)
worlds = st.lists(statuses, min_size=1, max_size=12)


@st.composite
def histories(draw: st.DrawFn) -> World:
    """A world whose statuses went forward since it was copied, with late orders or deletions, never both."""
    before = draw(worlds)
    now = [[draw(moves(status)) for status in one] for one in before]
    late = draw(st.booleans())
    for one in now:
        if late:
            one.extend(draw(st.lists(st.sampled_from(codes_of(())), max_size=2)))
        else:
            del one[: draw(st.integers(0, 1))]
    return World(now=now, held=[list(one) for one in before])


def moves(status: int) -> st.SearchStrategy[int]:
    return st.sampled_from([status, status, *LATER.get(status, ())])


@given(world=histories(), allowed=st.sampled_from([0, 3, 10, 10**6]))
def test_when_all_counts_agree_every_change_was_found(world: World, allowed: int) -> None:
    rounds = 0
    while (found := world.round(allowed=allowed)) is not None:
        rounds += 1
        assert found, "where a count differs, some segment does"
        assert rounds <= len(world.now) + 1
    assert [Counter(one) for one in world.held] == [Counter(one) for one in world.now]


@given(world=histories(), allowed=st.integers(0, 40))
def test_no_more_counts_are_asked_for_than_allowed(world: World, allowed: int) -> None:
    world.round(allowed=allowed)
    assert len(world.asked) <= allowed


@given(world=worlds)
def test_nothing_is_asked_where_nothing_changed(world: list[list[int]]) -> None:
    same = World(now=world)
    assert same.round() is None
    assert same.asked == []


def test_a_chain_shows_at_its_ends_first_and_in_its_middle_in_the_next_round() -> None:
    """Unpaid to Paid in one segment, Paid to Finished in a second, Finished to Refunded in a third."""
    rest = [EXPIRED] * 20
    world = World(
        held=[rest, [UNPAID, *rest], rest, [PAID, *rest], rest, [FINISHED, *rest], rest],
        now=[rest, [PAID, *rest], rest, [FINISHED, *rest], rest, [REFUNDED, *rest], rest],
    )
    assert [world.round(), world.round(), world.round()] == [[1, 5], [3], None]


def test_only_statuses_that_differ_are_counted_and_second_halves_follow_from_first_ones() -> None:
    world = World(now=[[PAID] * 40 for _ in range(8)])
    world.now[7][0] = FINISHED
    assert world.round() == [7]
    assert [(question.span, question.status) for question in world.asked] == [
        (span, code) for span in (Span(0, 4), Span(4, 6), Span(6, 7)) for code in (PAID, FINISHED)
    ]


def test_a_run_is_not_halved_where_its_pages_cost_no_more_than_the_counts() -> None:
    world = World(now=[[PAID] * PAGE, [PAID] * PAGE])
    world.now[1][0] = FINISHED
    assert world.round() == [0, 1]
    assert world.asked == []


def runs(rows: Sequence[int], *, fresh: Sequence[int] = ()) -> list[Held]:
    return [held(number, [], rows=count, kept=number not in fresh) for number, count in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "found", "chosen"),
    [
        ([1000] * 9, [4], [4]),
        ([1000, 1000, 4, 1000, 1000, 1000, 1000], [1, 3], [1, 2, 3]),
        ([1000] * 9, [2, 4], [2, 4]),
        ([1000] * 3, [0, 1, 2], [0, 1, 2]),
        ([1000, 1000, 4], [0, 1], [0, 1, 2]),
        ([4] * 9, [0, 2, 4, 6, 8], list(range(9))),
        ([1000] * 3, [], []),
    ],
)
def test_small_gaps_are_closed_and_all_is_chosen_where_that_costs_the_same(
    rows: list[int], found: list[int], chosen: list[int]
) -> None:
    spans = joined([Span(number, number + 1) for number in found], runs(rows), page_size=PAGE)
    assert [span.start for span in spans] == chosen


def test_what_is_certified_anew_already_is_not_dropped() -> None:
    run = runs([1000] * 4, fresh=[1])
    assert joined([Span(1, 2)], run, page_size=PAGE) == []
    assert joined([Span(1, 2), Span(3, 4)], run, page_size=PAGE) == [Span(3, 4)]


def test_rows_of_no_known_status_are_the_rest() -> None:
    one = Held(span=Span(0, 1), rows=5, by_status={PAID: 2, None: 3}, kept=True)
    assert counts_of([one], codes_of(())) == {code: 2 * (code == PAID) for code in codes_of(())}
    assert unknown_in([one], codes_of(())) == 3
    assert codes_of((PAID, FINISHED)) == (PAID, FINISHED)


def test_what_an_update_may_count_grows_with_a_full_export() -> None:
    assert requests_of(30_000, 500) == 66
    assert requests_of(0, 500) == 7
    assert (allowed_counts(66), allowed_counts(40_000)) == (21, 4_015)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, None),
        ({"totals": "ignored"}, "ignored"),
        ({"totals": "capped"}, "capped"),
        ({"padded": True}, "bounds"),
        ({"ascending": False}, "no order"),
    ],
)
def test_why_counts_can_confirm_nothing_is_said(facts: dict[str, object], words: str | None) -> None:
    reason = why_anew(**{"totals": "exact", "padded": False, "ascending": True, **facts})  # type: ignore[arg-type]  # one of three
    assert (reason is None) == (words is None)
    assert (words or "") in (reason or "")
