"""The engine against a small hostile server that remembers the truth: promise 1 of the design, word for word."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import columns
from exporter.certify import Certificate
from exporter.config import Settings
from exporter.engine import Engine
from exporter.errors import CertificateError, RejectedError
from exporter.orders import Answer, Question, Record, second_of
from exporter.plan import Span, gaps
from tests.hostile_server import START, Habits, HostileServer, Order
from tests.virtual_time import VirtualTimeLoop
from tests.virtual_time import run as run_virtual


class Stopped(Exception):  # noqa: N818 - no error: the export was killed
    """An export ends in the middle."""


@dataclass
class Run:
    """One export of everything a server has, stopped once after so many requests if `stop_after` says so."""

    server: HostileServer
    page_size: int
    segment_pages: int
    windows: int | None = None
    final_check: bool = True
    stop_after: int | None = None
    held: dict[Span, tuple[Certificate, pa.Table]] = field(default_factory=dict)
    checked: bool = False
    requests_before_check: int = 0
    engine: Engine | None = None

    async def export(self) -> None:
        try:
            await self._go_on()
        except Stopped:
            await self._go_on()

    async def _go_on(self) -> None:
        self.engine = self.make_engine()
        whole = await self.engine.freeze()
        self.requests_before_check = self.server.requests
        committed = sum(certificate.rows for certificate, _ in self.held.values())
        await self.engine.cover(whole, gaps(whole, self.held), committed=committed)
        if failure := self.engine.uncertified():
            raise failure
        assert not gaps(whole, self.held)
        self.requests_before_check = self.server.requests
        self.checked = await self.check(whole)

    async def check(self, whole: Span) -> bool:
        assert self.engine
        return await self.engine.check(
            whole, lambda: [self.held[span][0] for span in sorted(self.held)], lambda span: self.held[span][1]
        )

    def make_engine(self) -> Engine:
        async def inline(function: Any, /, *args: Any) -> Any:
            return function(*args)

        chosen = Settings(
            api_key="key",
            start=START,
            end=START + self.server.seconds - 1,
            start_asked="",
            end_asked="",
            page_size=self.page_size,
            segment_pages=self.segment_pages,
            windows=self.windows,
            final_check=self.final_check,
        )
        return Engine(
            chosen,
            self._ask,
            commit=self._commit,
            off_loop=inline,
            emit=lambda _: None,
            latency=lambda: 0.0,
            clock=lambda: float(START + self.server.seconds + 60),
        )

    async def _ask(self, question: Question, *, urgent: bool = False) -> Answer:
        if self.stop_after is not None and self.server.requests >= self.stop_after:
            self.stop_after = None
            raise Stopped
        return await self.server.ask(question, urgent=urgent)

    async def _commit(self, certificate: Certificate, table: pa.Table) -> None:
        span = certificate.span
        others = [other for other in self.held if other != span]
        assert not [other for other in others if other.start < span.stop and span.start < other.stop]
        assert table.num_rows == certificate.rows
        self.held[span] = certificate, table

    def records(self) -> list[Record]:
        return [record for span in sorted(self.held) for record in columns.records(self.held[span][1])]


def identities(records: list[Record]) -> Counter[tuple[str, int]]:
    return Counter((record["order_id"], second_of(record) - START) for record in records)


def is_balanced(run: Run, second: int) -> bool:
    """Tell whether orders came and others went while the pages of a segment were asked: no count can tell that."""
    certificate = next(one for span, (one, _) in run.held.items() if START + second in span)
    meanwhile = range(int(certificate.fetched_from) + 1, int(certificate.fetched_to) + 1)
    drifts = (run.server.came, run.server.went)
    return certificate.way == "pages" and all(any(number in meanwhile for number in drift) for drift in drifts)


def assert_promise(run: Run) -> None:
    """An order that was there all the time is held exactly once, one that never was never, the others as shown."""
    held, server = identities(run.records()), run.server
    stable, shown = server.survivors(), server.most_shown
    missing = [(name, second) for name, second in stable - held if not is_balanced(run, second)]
    assert not missing, f"missing: {missing}"
    assert not held - shown, f"held more often than one answer showed it: {held - shown}"
    for identity, count in held.items():
        assert count <= shown[identity]
    if run.checked:
        assert any(held.total() in counts for counts in server.populations[run.requests_before_check :])
    times = [second_of(record) for record in run.records()]
    assert times == sorted(times)


def drive(run: Run) -> bool:
    """Run the export on virtual time; return whether it ended in exit 0."""
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(run.export())
    except (CertificateError, RejectedError):
        return False
    finally:
        loop.close()
    assert_promise(run)
    return True


def is_crowded(run: Run) -> bool:
    """Tell whether more orders lie in one second than a page, and in those beside it, can show.

    What neither pages nor facets tell apart then is beyond what any question can prove.
    """
    habits = run.server.habits
    padded = habits.open_start or habits.fractions or habits.sort != "obeyed"
    beside = (-1, 0, 1) if padded else (0,)
    shown = Counter(order.moment // 1000 + step for order in run.server.orders for step in beside)
    return any(count >= min(run.page_size, habits.largest_page) for count in shown.values())


def a_run(
    habits: Habits,
    *,
    seed: int,
    orders: int,
    seconds: int,
    crowd: int,
    page_size: int,
    segment_pages: int,
    windows: int | None,
    latency: float,
    final_check: bool,
    stop_after: int | None = None,
) -> Run:
    """Make a world of so many orders, up to `crowd` in a second (or more, by chance), and an export of it."""
    random = Random(seed)
    made: list[Order] = []
    while len(made) < orders:
        second = random.randrange(seconds)
        for _ in range(random.randint(1, crowd)):
            fraction = random.randrange(1000) if habits.fractions else 0
            name = f"o{len(made)}" if random.random() < 0.9 or not made else made[-1].name
            made.append(Order(moment=second * 1000 + fraction, name=name))
    server = HostileServer(orders=made, habits=habits, random=random, seconds=seconds, latency=latency)
    return Run(
        server,
        page_size=page_size,
        segment_pages=segment_pages,
        windows=windows,
        final_check=final_check,
        stop_after=stop_after,
    )


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
).filter(lambda habits: not habits.short_pages or habits.totals not in {"text", "missing", "short"})
"""All at once; but a page that is cut short and has no total, or one as short, can't be told from a whole one."""


EXAMPLES = settings(max_examples=max(500, settings.default.max_examples))
"""Thousands in each run of the suite, within a minute; `make test-deep` takes many more."""


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
