"""The model test: Hypothesis decides what becomes of each request of an export, and what changes between two of them.

Answers overtake each other, fail, are refused; orders of one second come in any order; orders come late, go, change;
the export is killed and resumed. Whatever is committed must be certain at once, as promise 1 of the design has it;
`model_run.undetectable` counts the one thing that the design allows counts not to see. An export that ends otherwise
than in exit 0 needs a reason (`SteppedExport`); and once all is calm, the same command must end well.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.certify.spans import Span
from tests.crawl.hostile_server import HostileQuirks, HostileServer, Order
from tests.crawl.model_run import assert_certain
from tests.crawl.stepped_export import SteppedExport
from tests.http.hostile_line import FAULTS, REFUSALS

SECONDS = 20
"""How long the world is."""

BOUNDS = {
    "inclusive": HostileQuirks(),
    "exclusive start": HostileQuirks(open_start=True),
    "exclusive end": HostileQuirks(open_end=True),
    "hidden fractions": HostileQuirks(hidden_fractions=True),
}

PLACES = 8
places = st.integers(0, PLACES - 1)
"""Which of the waiting requests, or of the orders."""

shuffles = st.integers(0, 5)
"""An order of ties; 0 is that in which they were made."""

responses = st.integers(0, 4)
"""How many requests are answered in turn before anything else happens."""


class Exporting(RuleBasedStateMachine):
    """One export, in a world that may change."""

    export: SteppedExport

    def __init__(self) -> None:
        super().__init__()
        self.sure: dict[Span, pa.Table] = {}

    @initialize(
        seconds=st.lists(st.integers(0, SECONDS - 1), min_size=6, max_size=20),
        twins=st.booleans(),
        shuffled_ties=st.booleans(),
        bounds=st.sampled_from(["inclusive", "inclusive", *BOUNDS]),
        page_size=st.integers(3, 5),
        segment_pages=st.sampled_from([2, 3, 4, 1]),
        windows=st.sampled_from([None, 2]),
        concurrency=st.sampled_from([1, 2, 4, 8]),
        rate=st.sampled_from([2_000.0, 20.0]),
        final_check=st.booleans(),
    )
    def begin(
        self,
        seconds: list[int],
        twins: bool,
        shuffled_ties: bool,
        bounds: str,
        page_size: int,
        segment_pages: int,
        windows: int | None,
        concurrency: int,
        rate: float,
        final_check: bool,
    ) -> None:
        self.quirks, self.shuffled_ties, self.concurrency = BOUNDS[bounds], shuffled_ties, concurrency
        orders = [
            Order(
                moment=1000 * second + (number * 137 % 1000 if self.quirks.hidden_fractions else 0),
                name=f"o{number // 2 if twins else number}",
            )
            for number, second in enumerate(sorted(seconds))
        ]
        self.server = HostileServer(orders=orders, quirks=self.quirks, random=Random(0), seconds=SECONDS)
        self.export = SteppedExport(
            self.server,
            page_size=page_size,
            segment_pages=segment_pages,
            windows=windows,
            final_check=final_check,
            others={"concurrency": concurrency, "rate": rate, "max_attempts": 4},
        )
        self.line = self.export.line

    def under_way(self) -> bool:
        return self.export.under_way

    def may_drift(self) -> bool:
        """Where bounds are odd, orders stay as they are: a late one may make good what a bound leaves out.

        An exclusive end is found out at once, unless a total follows that shows it later.
        """
        calm = not (self.export.under_way or self.export.failed)
        return calm or self.quirks == HostileQuirks() or (self.quirks.open_end and not self.export.final_check)

    def may_lose(self) -> bool:
        return self.may_drift() and bool(self.server.orders)

    @precondition(under_way)
    @rule(place=places, shuffle=shuffles)
    def answer_any(self, place: int, shuffle: int) -> None:
        self.server.random = Random(shuffle)
        self.server.quirks = replace(self.quirks, shuffled_ties=self.shuffled_ties and bool(shuffle))
        self.export.response(self.line.at(place))

    @precondition(under_way)
    @rule(then=responses, shuffle=shuffles)
    def answer_in_turn(self, then: int, shuffle: int) -> None:
        for number in range(then):
            if self.export.under_way:
                self.answer_any(0, shuffle and shuffle + number)

    @precondition(under_way)
    @rule(place=places, how=st.sampled_from([*FAULTS, *REFUSALS]), then=responses, shuffle=shuffles)
    def fail(self, place: int, how: str, then: int, shuffle: int) -> None:
        self.export.fail(self.line.at(place), how)
        self.answer_in_turn(then, shuffle)

    @precondition(lambda self: self.export.under_way and self.export.timer is not None)
    @rule()
    def let_time_pass(self) -> None:
        self.export.let_time_pass()

    @precondition(may_drift)
    @rule(second=st.integers(-1, SECONDS - 1), place=places, twin=st.booleans(), then=responses, shuffle=shuffles)
    def insert(self, second: int, place: int, twin: bool, then: int, shuffle: int) -> None:
        order = Order(moment=1000 * second, name=f"late{len(self.server.came)}")
        self.server.insert(replace(self._order(place)) if twin and self.server.orders else order)
        self._drifted(then, shuffle)

    @precondition(may_lose)
    @rule(place=places, then=responses, shuffle=shuffles)
    def delete(self, place: int, then: int, shuffle: int) -> None:
        self.server.delete(self._order(place))
        self._drifted(then, shuffle)

    @precondition(may_lose)
    @rule(place=places, status=st.sampled_from(["Finished", "Refunded"]), then=responses, shuffle=shuffles)
    def change_status(self, place: int, status: str, then: int, shuffle: int) -> None:
        self._order(place).status = status
        self._drifted(then, shuffle)

    def _order(self, place: int) -> Order:
        return self.server.orders[place * len(self.server.orders) // PLACES]

    def _drifted(self, then: int, shuffle: int) -> None:
        self.export.drifted = True
        self.answer_in_turn(then, shuffle)

    @precondition(under_way)
    @rule()
    def kill_and_resume(self) -> None:
        self.export.kill()
        self.export.start()

    @precondition(lambda self: self.export.failed)
    @rule()
    def resume(self) -> None:
        self.export.start()

    @invariant()
    def what_is_committed_is_certain(self) -> None:
        held = self.export.held
        assert all(one.stop <= other.start for one, other in pairwise(sorted(held)))
        for span, (_, table) in held.items():
            if self.sure.get(span) is not table:
                assert_certain(self.export, span)
                self.sure[span] = table

    @invariant()
    def no_more_is_in_flight_than_may_be(self) -> None:
        assert len(self.line.waiting) <= self.concurrency

    def teardown(self) -> None:
        if not hasattr(self, "export"):
            return  # Hypothesis ended before the world began
        self.server.quirks = self.quirks
        try:
            self.export.finish()
            if self.export.failed:
                self.export.start()
                self.export.finish()
                assert not self.export.failed or self.export.crowded, "all is calm, but the same command fails again"
        finally:
            self.export.close()


TestExporting = Exporting.TestCase
TestExporting.settings = settings(max_examples=max(150, settings().max_examples))
