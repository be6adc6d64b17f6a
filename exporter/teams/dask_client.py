"""Connect to a Dask cluster, or start one on this machine; Dask's errors become ours here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from exporter.config.cluster import Cluster
from exporter.errors import ApiError, ConfigError

if TYPE_CHECKING:
    from distributed import Client

CONNECT = 10.0
"""Seconds in which a scheduler has to answer."""
FIRST_WORKER = 30.0
"""Seconds in which a cluster has to have a worker."""
CLOSING = 1.0
"""Seconds in which connections, and processes of ours, are closed; then they are left to end by themselves."""

INSTALL = "pip install 'duoplus-exporter[dask]'"
ADDRESS_HINT = "an address is like tcp://HOST:8786"
TLS_HINT = "tls:// needs the certificates that DASK_DISTRIBUTED__COMM__TLS__… or Dask's configuration name"


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Client]:
    """Give a client of a cluster that has a worker at least; end what was started for it.

    Raise ConfigError if Dask is missing or the address is wrong, ApiError if nobody answers.
    """
    try:
        from distributed import Client, LocalCluster  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError("several workers need Dask, which is not installed", hint=INSTALL) from error
    with _silenced():
        async with AsyncExitStack() as stack:
            where: Any = cluster.scheduler
            if where is None:
                where = await _closing(stack, _local(LocalCluster, cluster.workers))
            client = await _closing(stack, Client(where, asynchronous=True, timeout=CONNECT, set_as_default=False))
            try:
                await client.wait_for_workers(1, timeout=FIRST_WORKER)
            except TimeoutError:
                raise ApiError(
                    f"the Dask cluster at {cluster.scheduler} has had no worker for {FIRST_WORKER:g} s",
                    hint="start some: dask worker ADDRESS --nthreads 1",
                ) from None
            yield client


def _local(kind: Any, workers: int) -> Any:
    """Return a cluster of this machine, not started: processes that only those can reach who have its certificate."""
    try:
        return kind(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            security=True,  # a certificate for this run alone: other users of the machine can reach the ports
            memory_limit=0,  # the exports bound what they hold
            silence_logs=logging.CRITICAL,
            asynchronous=True,
        )
    except ImportError as error:
        raise ConfigError("a cluster on this machine needs cryptography", hint=INSTALL) from error


async def _closing(stack: AsyncExitStack, starting: Any) -> Any:
    """Start a cluster or a client, and close it with the stack, even if it does not start."""

    async def close() -> None:
        with suppress(Exception):  # there is nothing left to do about it
            await asyncio.wait_for(starting.close(timeout=CLOSING), CLOSING)

    stack.push_async_callback(close)
    where = getattr(starting, "_start_arg", None)
    try:
        return await starting
    except (OSError, TimeoutError) as error:
        raise ApiError(
            f"no Dask scheduler answers at {where} within {CONNECT:g} s",
            hint="check the address and that it runs (dask scheduler), tls:// where it asks for TLS",
        ) from error
    except (ValueError, TypeError, RuntimeError) as error:
        hint = TLS_HINT if str(where).startswith("tls") else ADDRESS_HINT
        raise ConfigError(f"{where} can't be used as a Dask scheduler: {error}", hint=hint) from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep Dask's log off stderr: what a user should know is reported."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
