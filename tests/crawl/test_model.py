"""The engine against small hostile servers with any habits: promise 1 of the design, word for word.

What becomes of each single request is the business of `test_model_machine`.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import CertificateError
from tests.crawl.hostile_server import Habits, HostileServer, Order
from tests.crawl.model_run import Run, a_run, drive, identities, is_crowded
from tests.virtual_time import run as run_virtual


def runs(habits: st.SearchStrategy[Habits]) -> st.SearchStrategy[Run]:
    return st.builds(
        a_run,
        habits,
        seed=st.integers(0, 2**32),
        orders=st.integers(0, 60),
        seconds=st.sampled_from([3, 12, 40, 200]),
        crowd=st.integers(1, 8),
        page_size=st.integers(2, 6),
        segment_pages=st.integers(1, 5),
        windows=st.sampled_from([None, 2, 5]),
        latency=st.sampled_from([0.0, 1.0]),
        final_check=st.booleans(),
        stop_after=st.sampled_from([None, 1, 5, 12, 30]),
    )


USELESS = ("text", "missing", "short")
"""Totals that tell nothing."""


def ways_of_lying(habits: Habits) -> set[str]:
    """Return in which ways a server's answers are not what was asked for."""
    ways = {
        "order": habits.sort != "obeyed",
        "bounds": habits.open_start or habits.open_end,
        "fractions": habits.fractions,
        "totals": habits.totals in USELESS or bool(habits.cap),
        "short pages": bool(habits.short_pages),
        "another range": bool(habits.elsewhere),
    }
    return {way for way, lies in ways.items() if lies}


drifting = {"drift": st.sampled_from([0.0, 0.05, 0.3]), "drifts": st.integers(0, 6)}
ties = {"ties": st.sampled_from(["stable", "shuffled"])}

any_habits = st.builds(
    Habits,
    largest_page=st.sampled_from([1000, 1000, 2, 3]),
    fixed_page=st.sampled_from([0, 0, 0, 4, 9]),
    sort=st.sampled_from(["obeyed", "obeyed", "obeyed", "descending", "none"]),
    open_start=st.booleans(),
    open_end=st.booleans(),
    fractions=st.booleans(),
    totals=st.sampled_from(["right", "right", "right", "text", "missing", "short", "long"]),
    cap=st.sampled_from([0, 0, 0, 7, 20]),
    depth=st.sampled_from([0, 0, 18]),
    too_deep=st.sampled_from(["refuse", "empty", "repeat"]),
    past_end=st.sampled_from(["empty", "refuse", "repeat"]),
    longest=st.sampled_from([0, 0, 0, 15]),
    elsewhere=st.sampled_from([0.0, 0.0, 0.0, 0.1]),
    short_pages=st.sampled_from([0.0, 0.0, 0.0, 0.1]),
    **ties,
    **drifting,
).filter(lambda habits: not habits.short_pages or habits.totals not in USELESS)
"""All at once; but a page that is cut short and has no total, or one as short, can't be told from a whole one."""

if not settings().derandomize:
    # What no count can tell begins with three ways of lying at once: the fixed examples hold there too, not all worlds.
    any_habits = any_habits.filter(lambda habits: len(ways_of_lying(habits)) < 3)


EXAMPLES = settings(max_examples=max(250, settings().max_examples))
"""A thousand in each run of the suite, beside those of the machine; `make test-deep` takes many more."""


@EXAMPLES
@given(run=runs(any_habits))
def test_no_exit_0_with_a_wrong_result_whatever_the_server_does(run: Run) -> None:
    drive(run)


@EXAMPLES
@given(run=runs(st.builds(Habits, **ties, **drifting)))
def test_unstable_ties_and_drift_never_lose_or_double_an_order(run: Run) -> None:
    drive(run)


one_surprise = st.sampled_from(
    [
        Habits(),
        Habits(ties="shuffled"),
        Habits(largest_page=2),
        Habits(fixed_page=9),
        Habits(sort="descending"),
        Habits(sort="none"),
        Habits(open_start=True),
        Habits(open_end=True),
        Habits(open_start=True, open_end=True),
        Habits(fractions=True),
        Habits(fractions=True, ties="shuffled"),
        Habits(totals="text"),
        Habits(totals="missing"),
        Habits(cap=7),
        Habits(cap=20),
        Habits(depth=12, too_deep="refuse"),
        Habits(depth=12, too_deep="empty"),
        Habits(depth=12, too_deep="repeat"),
        Habits(past_end="refuse"),
        Habits(past_end="repeat"),
        Habits(longest=15),
    ]
)


@EXAMPLES
@given(run=runs(one_surprise))
def test_one_surprise_is_met_by_a_way_around_it(run: Run) -> None:
    if drive(run):
        assert identities(run.records()) == run.server.survivors()
    else:
        assert is_crowded(run)


@EXAMPLES
@given(run=runs(st.just(Habits())))
def test_a_calm_server_is_asked_no_more_than_needed(run: Run) -> None:
    run.windows, run.stop_after, run.segment_pages, server = None, None, max(3, run.segment_pages), run.server
    if is_crowded(run):
        drive(run)
        return
    assert drive(run)
    ties = max(Counter(order.moment // 1000 for order in server.orders).values(), default=0)
    in_a_segment = run.segment_pages * run.page_size - ties
    assert server.requests <= (len(server.orders) / in_a_segment + 1) * run.segment_pages + 4


def test_totals_that_promise_more_than_comes_are_named() -> None:
    orders = [Order(moment=1000 * number, name=f"o{number}") for number in range(9)]
    server = HostileServer(orders=orders, habits=Habits(totals="long"), random=Random(1), seconds=20)
    with pytest.raises(CertificateError, match="total"):
        run_virtual(Run(server, page_size=4, segment_pages=3).export())
