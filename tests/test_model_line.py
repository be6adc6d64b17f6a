"""The engine and the client together, on a line that fails, refuses and lets answers overtake each other."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.client import Client
from exporter.config import Settings
from exporter.envelope import MayPass, Reply
from exporter.errors import ApiError, CertificateError, RejectedError
from exporter.orders import MAX_PAGE_SIZE, Filters, Question, second_of
from tests.fake_transport import FakeTransport, envelope
from tests.hostile_server import Habits, HostileServer
from tests.model_run import Run, a_run, assert_promise
from tests.test_model import drifting, ties
from tests.virtual_time import run as run_virtual

FAULTS = ("500", "html", "cut", "timeout", "160004", "429", "null", "503 in an envelope")


@dataclass
class HostileLine:
    """Carries requests to a hostile server, and spoils some of the answers."""

    server: HostileServer
    random: Random
    share: float

    def answer(self, body: dict[str, Any]) -> Reply:
        if self.random.random() < self.share:
            return self._spoiled()
        try:
            answer = self.server.answer(question_of(body))
        except RejectedError as refused:
            return envelope(refused.code, refused.text)
        data = {"list": answer.records, "total": answer.total, "page": 1, "pagesize": len(answer.records)}
        return Reply(200, {"Content-Type": "application/json"}, orjson.dumps({"code": 200, "data": data}))

    def _spoiled(self) -> Reply:
        match self.random.choice(FAULTS):
            case "500":
                return Reply(500, {}, b"")
            case "html":
                return Reply(200, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>")
            case "cut":
                return Reply(200, {}, b'{"code": 200, "data": {"list": [{"ty')
            case "timeout":
                raise MayPass("no answer within 60 s")
            case "160004":
                return envelope(160004, "Request too frequent, please try again later.")
            case "429":
                return envelope(0, status=429, Retry_After="2")
            case "null":
                return Reply(200, {}, b'{"code": 200, "data": null}')
        return envelope(503, "busy")


def question_of(body: dict[str, Any]) -> Question:
    return Question(
        first=second_of({"created_at": body["created_at_start"]}),
        last=second_of({"created_at": body["created_at_end"]}),
        page=body["page"],
        page_size=min(body["pagesize"], MAX_PAGE_SIZE),
        filters=Filters(
            **{name: tuple(map(int, body[name])) for name in ("status", "type", "product_type") if name in body}
        ),
    )


class OverALine(Run):
    """An export whose requests go through the client."""

    def __init__(self, run: Run, share: float) -> None:
        super().__init__(run.server, page_size=run.page_size, segment_pages=run.segment_pages, windows=run.windows)
        self.share = share

    async def export(self) -> None:
        server = self.server
        line = HostileLine(server, server.random, self.share)
        chosen = Settings(api_key="key", start=0, end=1, start_asked="", end_asked="", rate=20.0, max_attempts=50)
        transport = FakeTransport(answering=line.answer, latency=0.2)
        async with Client(chosen, transport=transport, random=server.random.random) as client:
            server.ask = client.ask  # type: ignore[method-assign]
            await super().export()
            assert client.statistics.in_flight == 0


@settings(max_examples=max(200, settings.default.max_examples))
@given(
    habits=st.builds(Habits, **ties, **drifting),
    seed=st.integers(0, 2**32),
    share=st.sampled_from([0.0, 0.15, 0.4]),
    windows=st.sampled_from([None, 3]),
    segment_pages=st.integers(2, 5),
)
def test_a_bad_line_costs_requests_but_never_an_order(
    habits: Habits, seed: int, share: float, windows: int | None, segment_pages: int
) -> None:
    calm = a_run(
        habits,
        seed=seed,
        orders=40,
        seconds=60,
        crowd=3,
        page_size=4,
        segment_pages=segment_pages,
        windows=windows,
        latency=0.0,
        final_check=True,
    )
    run = OverALine(calm, share)
    try:
        run_virtual(run.export())
    except (CertificateError, ApiError):
        return
    assert_promise(run)
