"""Take the work folder of an OUT: its lock, the spool of what is unfinished; or the result that OUT holds already."""

from __future__ import annotations

import errno
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa

from exporter.certify.spans import Span
from exporter.errors import CertificateError, ConfigError, DiskError, OutputError
from exporter.store.disk import DENIED, Disk
from exporter.store.layout import Layout, missing_parts, published
from exporter.store.lock import Lock
from exporter.store.manifest import Manifest, differences
from exporter.store.publish import recover, remove_idle_work
from exporter.store.spool import Spool
from exporter.vendor.orders import wire_time

_UNUSABLE = DENIED | {errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def take_work(
    undo: ExitStack, layout: Layout, disk: Disk, *, fresh: bool, clock: Callable[[], float]
) -> tuple[Lock, Spool | None, bool]:
    """Lock OUT and complete a publication that was interrupted; `undo` releases what was taken.

    Return the lock, the spool of work that is left, if there is any, and whether a publication has been completed.
    """
    lock = _take_lock(layout, disk)
    undo.callback(release, layout, disk, lock)
    spool = _existing_spool(layout, disk, fresh=fresh, clock=clock)
    if spool is not None:
        undo.callback(spool.close)
    done = recover(layout, disk, lock, digest=spool.ready if spool else None)
    return lock, None if done else spool, done


def new_spool(
    undo: ExitStack, layout: Layout, disk: Disk, heading: Mapping[str, Any], *, clock: Callable[[], float]
) -> Spool:
    """Return a spool without segments, in place of any that is there; `undo` closes it."""
    Spool.create(layout.spool, disk, heading)
    spool = Spool(disk.append(layout.spool), clock=clock)
    undo.callback(spool.close)
    return spool


def encoded(schema: pa.Schema) -> str:
    """Return a schema as a spool's heading holds it."""
    return b64encode(schema.serialize()).decode()


def _existing_spool(layout: Layout, disk: Disk, *, fresh: bool, clock: Callable[[], float]) -> Spool | None:
    """Return the spool of unfinished work, if there is one; if it can't be read and is to be dropped anyway, None."""
    if not os.path.lexists(layout.spool):
        return None
    with ExitStack() as undo:
        file = undo.enter_context(disk.append(layout.spool))
        try:
            spool = Spool(file, clock=clock)
        except (CertificateError, OutputError):
            if not fresh:
                raise
            return None
        undo.pop_all()
        return spool


def differing_work(spool: Spool, heading: Mapping[str, Any]) -> list[str]:
    """Return how a spool's heading differs from the one that is wanted."""
    differing = differences(spool.heading["asked"], heading["asked"])
    if spool.heading["schema"] != heading["schema"]:
        differing.append("its columns are those of another version of this program")
    return differing


def is_resumable(spool: Spool, layout: Layout, heading: Mapping[str, Any]) -> bool:
    """Return whether a spool is this query's; raise OutputError if it is an update's, or has segments of another."""
    if spool.updates is not None and spool.spans:
        raise OutputError(
            f"{layout.out} has an unfinished update",
            hint=f"`exporter update {layout.out}` resumes it, and with --fresh it is dropped",
        )
    differing = differing_work(spool, heading)
    if differing and spool.spans:
        raise OutputError(
            f"{layout.out} has an unfinished export of another query: {'; '.join(differing)}",
            hint="give the same query again to resume it, choose another OUT, or drop what is unfinished with --fresh",
        )
    return not differing and spool.updates is None


@contextmanager
def unusable_is_a_config_error() -> Iterator[None]:
    """Report a folder that OUT can't have its work in as a wrong argument: nothing was sent."""
    try:
        yield
    except DiskError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _UNUSABLE:
            denied = error.__cause__.errno in DENIED  # else what disk and work need is no help
            raise ConfigError(str(error), hint=error.hint if denied else "choose another OUT") from error
        raise


def _take_lock(layout: Layout, disk: Disk) -> Lock:
    for folder in reversed(layout.work.parents):
        disk.make_folder(folder)
    return Lock.take(layout.lock, disk)


def release(layout: Layout, disk: Disk, lock: Lock) -> None:
    """Release the lock; remove the work folder if no work is in it."""
    try:
        remove_idle_work(layout, disk, lock)
    finally:
        lock.release()


def wanted_result(layout: Layout, query: Mapping[str, Any], *, whole: Span | None, overwrite: bool) -> Manifest | None:
    """Return the manifest of the result in OUT if it is what this query wants; raise OutputError if it is not."""
    manifest = published(layout)
    if manifest is None or overwrite:
        return None
    if differing := differences(manifest.query, query):
        problem = f"holds the result of another query: {'; '.join(differing)}"
    elif whole is None or whole.stop > manifest.whole.stop:
        end = wire_time(manifest.whole.stop - 1)
        raise OutputError(
            f"{layout.out} holds a finished export up to {end}; there may be more orders by now",
            hint=f"`exporter update {layout.out}` asks for what came since; --overwrite replaces it by a new export",
        )
    elif not manifest.complete:
        problem = "holds an export that is not complete"
    elif missing := missing_parts(layout, manifest):
        problem = f"holds a damaged result: {', '.join(missing)} is missing or of another size"
    else:
        return manifest
    raise OutputError(
        f"{layout.out} {problem}",
        hint="--overwrite replaces it once the new export is complete; or choose another OUT",
    )
