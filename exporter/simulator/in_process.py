"""Ask a world without HTTP: for tests and for counting requests."""

from __future__ import annotations

import asyncio
from typing import Any

from exporter.errors import RejectedError
from exporter.simulator.world import World
from exporter.vendor.orders import SUCCESS, Answer, Question


class Direct:
    """A way to ask a world as a client would, without a line in between: no faults, no pace."""

    def __init__(self, world: World, *, language: str = "en") -> None:
        self.world = world
        self.questions: list[Question] = []
        """What was asked, in order."""
        self._language = language

    async def ask(self, question: Question, *, urgent: bool = False) -> Answer:  # noqa: ARG002 - nothing waits here
        """Return the world's answer; raise RejectedError if it refuses."""
        await asyncio.sleep(0)
        self.questions.append(question)
        envelope = self.world.answer(question.body(), language=self._language)
        if envelope["code"] != SUCCESS:
            text = str(envelope["message"])
            raise RejectedError(f"{question}: {envelope['code']} {text}", code=envelope["code"], text=text)
        data = envelope["data"]
        return Answer(
            question=question,
            records=data["list"] or [],
            total=_count(data, "total"),
            page=_count(data, "page"),
            page_size=_count(data, "pagesize"),
            total_page=_count(data, "total_page"),
            number=len(self.questions),
            date=int(self.world.now()),
            received=self.world.now(),
        )


def _count(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    return value if type(value) is int and value >= 0 else None
