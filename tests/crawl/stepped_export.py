"""One export, taken forward step by step: nothing becomes of its requests but what somebody decides."""

from __future__ import annotations

from math import inf
from typing import Any

from exporter.errors import ApiError, CertificateError
from exporter.http.client import Client
from exporter.vendor.orders import PageRequest, PageResponse
from tests.crawl.hostile_server import HostileServer
from tests.crawl.model_run import Run, assert_promise, is_crowded
from tests.http.hostile_line import HostileLine, ReceivedRequest
from tests.virtual_time import SteppedLoop

ANSWERS_AT_MOST = 1_000
"""An export of few orders that continues after this number of responses will never end."""


class SteppedExport(Run):
    """Engine and client on a loop that stands still unless something is done here. It starts at once."""

    def __init__(self, server: HostileServer, *, segment_pages: int, page_size: int, **options: Any) -> None:
        super().__init__(server, segment_pages=segment_pages, page_size=page_size, **options)
        self.line = HostileLine(server)
        self.loop = SteppedLoop()
        self.drifted = self.crowded = False
        self.start()

    @property
    def under_way(self) -> bool:
        return bool(self.line.waiting)

    def start(self) -> None:
        """Start, or resume from what is committed, as a new process does."""
        self.failed = False
        self.line.forbidden_until = -inf  # nobody has told it
        self._task = self.loop.create_task(self.export())
        self._settle()

    def response(self, request: ReceivedRequest) -> None:
        self.line.response(request)
        self._settle()

    def fail(self, request: ReceivedRequest, how: str) -> None:
        """Spoil the answer or refuse the request."""
        self.line.fail(request, how, self.loop.time())
        self._settle()

    def let_time_pass(self) -> None:
        """Let it be the time of the next timer."""
        assert self.timer is not None
        self.loop.jump(self.timer)
        self._settle()

    def kill(self) -> None:
        self._task.cancel()
        self.loop.run_until_idle()
        assert self._task.cancelled()

    def finish(self) -> None:
        """Answer all that is still asked, as a server does where nothing changes any more."""
        for _ in range(ANSWERS_AT_MOST):
            if not self.under_way:
                return
            self.response(self.line.waiting[0])
        raise AssertionError("the export does not end")

    def close(self) -> None:
        if not self._task.done():
            self.kill()
        self.loop.close()

    def _settle(self) -> None:
        """Let the engine do all it can; time passes only where nothing else can happen."""
        self.crowded = self.crowded or is_crowded(self)
        while True:
            self.timer = self.loop.run_until_idle()
            if self._task.done():
                self._end(self._task.exception())
                return
            if self.line.waiting:
                return
            assert self.timer is not None, "the engine waits, but for nothing"
            self.loop.jump(self.timer)

    def _end(self, error: BaseException | None) -> None:
        self.failed = error is not None
        match error:
            case None:
                assert self.checked == self.final_check
                assert_promise(self)
            case CertificateError():
                assert self.drifted or self.crowded, f"nothing changed, but: {error}"
            case ApiError():
                assert self.line.spoiled, f"nothing failed, but: {error}"
            case _:
                raise error

    async def export(self) -> None:
        async with Client(self.settings(), transport=self.line, random=lambda: 0.5, wall=self._wall) as self._client:
            await self._resume()

    def _wall(self) -> float:
        """Count responses, so that certificates show between which of them their own came."""
        return float(self.server.requests)

    async def _ask(self, request: PageRequest, *, urgent: bool = False, new_connection: bool = False) -> PageResponse:
        return await self._client.ask(request, urgent=urgent, new_connection=new_connection)

    def latency(self) -> float:
        return 1.0
