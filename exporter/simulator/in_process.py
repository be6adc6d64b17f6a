"""Ask a world without HTTP: for tests and for counting requests."""

from __future__ import annotations

import asyncio

from exporter.errors import RejectedError
from exporter.simulator.world import World
from exporter.vendor.orders import SUCCESS, PageRequest, PageResponse, count_in


class InProcessClient:
    """A client of a world in the same process: no network, no faults, no pace."""

    def __init__(self, world: World, *, language: str = "en") -> None:
        self.world = world
        self.requests: list[PageRequest] = []
        """All requests, in order."""
        self._language = language

    async def ask(
        self,
        request: PageRequest,
        *,
        urgent: bool = False,  # noqa: ARG002 - nothing waits here
        new_connection: bool = False,  # noqa: ARG002 - there is none
    ) -> PageResponse:
        """Return the world's response; raise RejectedError if it refuses."""
        await asyncio.sleep(0)
        self.requests.append(request)
        envelope = self.world.response(request.body(), language=self._language)
        if envelope["code"] != SUCCESS:
            text = str(envelope["message"])
            raise RejectedError(f"{request}: {envelope['code']} {text}", code=envelope["code"], text=text)
        data = envelope["data"]
        return PageResponse(
            request=request,
            records=data["list"] or [],
            total=count_in(data, "total"),
            page=count_in(data, "page"),
            page_size=count_in(data, "pagesize"),
            total_page=count_in(data, "total_page"),
            number=len(self.requests),
            date=int(self.world.now()),
            received=self.world.now(),
        )
