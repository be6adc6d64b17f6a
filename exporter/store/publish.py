"""Publish a finished result as OUT in one step, and finish or undo a publication that was interrupted.

A folder is published in these steps, each one durable before the next begins:

1. `result/_manifest.json` gets its name: from here on the result is whole, and whoever comes next finishes.
2. The spool is removed.
3. What OUT holds, if anything, is renamed to `old`.
4. `result` is renamed to OUT.
5. `old` and the work folder are removed.

A file takes the old one's place in one rename (there is no step 3), then its manifest does; in between, the digest in
the Parquet file's metadata shows that the manifest beside it is not its own.
"""

from __future__ import annotations

from exporter.store.disk import Disk
from exporter.store.layout import Layout, published, read_manifest


def publish(layout: Layout, disk: Disk) -> None:
    """Finish the publication of a result that is ready, from whichever step it reached."""
    manifest = read_manifest(layout.ready)
    disk.unlink(layout.spool)
    disk.sync_folder(layout.work)
    if layout.is_file:
        part = layout.result / manifest.parts[0].name
        if part.exists():
            published(layout)
            disk.rename(part, layout.out)
        disk.rename(layout.ready, layout.manifest)
    else:
        if published(layout) is not None:
            disk.remove_tree(layout.old)
            disk.rename(layout.out, layout.old)
        disk.rename(layout.result, layout.out)


def recover(layout: Layout, disk: Disk) -> None:
    """Finish an interrupted publication, or undo it where nothing replaced the old result yet; remove what it left."""
    if layout.ready.exists():
        publish(layout, disk)
    elif layout.old.exists() and not layout.out.exists():
        disk.rename(layout.old, layout.out)
    disk.remove_tree(layout.old)
    disk.remove_tree(layout.result)


def remove_idle_work(layout: Layout, disk: Disk) -> None:
    """Remove the lock file, and the work folder if no work is in it."""
    if not layout.spool.exists() and not layout.ready.exists():
        disk.unlink(layout.lock)
        disk.remove_folder(layout.work)
        disk.sync_folder(layout.work.parent)
