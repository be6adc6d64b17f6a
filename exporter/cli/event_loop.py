"""Run coroutines for a command: an export, or a few requests."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from exporter.cli.reporting import say
from exporter.cli.stopping import Stopped, heard, ignore_more
from exporter.config.options import Settings
from exporter.errors import ExportError
from exporter.events import Event
from exporter.progress.messages import message

if TYPE_CHECKING:
    from exporter.crawl.preview import Ask

Result = TypeVar("Result")


def until_stopped(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it; a signal that asks to stop cancels it and raises `Stopped` once it has cleaned up."""
    import asyncio

    stopped: list[Stopped] = []

    async def main() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: int, _frame: FrameType | None) -> None:
            this = Stopped(number)
            stopped.append(this)
            if task is not None and stopped[0] is this:  # another signal may come between these two lines
                loop.call_soon_threadsafe(task.cancel)

        # Not the loop's own handlers: when it closes, it would leave the system's, which end the process.
        before.update((number, signal.signal(number, stop)) for number in heard())
        return await work

    before: dict[int, Any] = {}
    try:
        return asyncio.run(main())
    except BaseException as error:
        if stopped:
            raise stopped[0] from error
        raise
    finally:
        if stopped:
            ignore_more()
        else:
            for number, handler in before.items():
                signal.signal(number, handler)


def in_thread(work: Callable[[], Result]) -> Result:
    """Run what may wait long for others; a signal that asks to stop abandons it, and raises `Stopped` at once."""
    from anyio import to_thread

    return until_stopped(to_thread.run_sync(work, abandon_on_cancel=True))


def asking_each(
    teams: Mapping[str, Settings], do: Callable[[Settings, Ask], Awaitable[Result]]
) -> dict[str, Result | ExportError]:
    """Run `do` for each team at once; return what it gave, or the error that it raised.

    Say on stderr what a reader should know while it waits.
    """
    from asyncio import gather

    from exporter.http.client import Client

    async def one(name: str, made: Settings) -> Result | ExportError:
        try:
            async with Client(made, on_event=partial(_say, f"{name}: ")) as client:
                return await do(made, client.ask)
        except ExportError as error:
            return error

    async def work() -> list[Result | ExportError]:
        return await gather(*map(one, teams.keys(), teams.values()))

    return dict(zip(teams, until_stopped(work()), strict=True))


def asking(made: Settings, do: Callable[[Ask], Awaitable[Result]]) -> Result:
    """Run `do` with a client's way to ask; say on stderr what a reader should know while it waits."""
    from exporter.http.client import Client

    async def work() -> Result:
        async with Client(made, on_event=partial(_say, "")) as client:
            return await do(client.ask)

    return until_stopped(work())


def _say(prefix: str, event: Event) -> None:
    if text := message(event):
        say(f"{prefix}{text}")
