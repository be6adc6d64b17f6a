"""Publish a finished result as OUT in one step, and finish or undo a publication that was interrupted.

A folder is published in these steps, each one durable before the next begins:

1. The spool records the checksum of the manifest: only a result that this program made of this spool is ever published.
2. `result/_manifest.json` gets its name: from here on the result is whole, and whoever comes next finishes.
3. What OUT holds, if anything, is renamed to `old`.
4. `result` is renamed to OUT.
5. The spool, `old` and the work folder are removed.

A file replaces the old one in one rename (there is no step 3), then its manifest does; in between, the digest in the
Parquet file's metadata shows that the manifest beside it is not its own.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from exporter.errors import OutputError
from exporter.store.disk import Disk
from exporter.store.layout import Layout, published, read_manifest
from exporter.store.lock import Lock


def is_ready(layout: Layout, digest: str | None) -> bool:
    """Return whether a whole result waits to be published, whose manifest is the one that the spool recorded."""
    return digest is not None and _digest(layout.ready) == digest


def is_done(layout: Layout, digest: str | None) -> bool:
    """Return whether OUT holds the result whose manifest the spool recorded."""
    return digest is not None and not is_ready(layout, digest) and _digest(layout.manifest) == digest


def publish(layout: Layout, disk: Disk, lock: Lock) -> None:
    """Publish a result that is ready, from whichever step was reached, then remove the spool."""
    if layout.is_file:
        part = layout.result / read_manifest(layout.ready).parts[0].name
        if part.exists():
            published(layout)
            lock.check()
            disk.rename(part, layout.out)
        lock.check()
        disk.rename(layout.ready, layout.manifest)
    else:
        if published(layout) is not None:
            disk.remove_tree(layout.old)
            lock.check()
            disk.rename(layout.out, layout.old)
        lock.check()
        disk.rename(layout.result, layout.out)


def recover(layout: Layout, disk: Disk, lock: Lock, *, digest: str | None) -> bool:
    """Finish an interrupted publication, or undo it where nothing replaced the old result yet; remove what it left.

    Return whether the result whose manifest has this checksum, which the spool recorded, is published.
    """
    if is_ready(layout, digest):
        publish(layout, disk, lock)
    elif layout.old.is_dir() and not layout.old.is_symlink() and not layout.out.exists():
        if digest is None:
            raise OutputError(
                f"{layout.old} is a result that was moved away, and nothing shows that this export did so",
                hint=f"move it back to {layout.out}, or remove it",
            )
        lock.check()
        disk.rename(layout.old, layout.out)
    done = is_done(layout, digest)
    lock.check()
    if done:
        disk.unlink(layout.spool)
        disk.sync_folder(layout.work)
    disk.remove_tree(layout.old)
    disk.remove_tree(layout.result)
    return done


def remove_idle_work(layout: Layout, disk: Disk, lock: Lock) -> None:
    """Remove the lock file, and the work folder if no work is in it; leave alone what is another export's."""
    if lock.is_in_place and not layout.spool.exists():
        disk.unlink(layout.lock)
        disk.remove_folder(layout.work)
        disk.sync_folder(layout.work.parent)


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, None if there is no plain file."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
