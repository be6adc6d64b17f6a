"""Put a finished result in OUT's place in one step, and finish or undo a swap that was interrupted.

A folder is swapped so, each step made to last before the next one:

1. `result/_manifest.json` gets its name: from here on the result is whole, and whoever comes next finishes the swap.
2. The spool is removed.
3. What stands in OUT, if anything, is renamed to `old`.
4. `result` is renamed to OUT.
5. `old` and the work folder are removed.

A file takes the old one's place in one rename (there is no step 3), then its manifest does; in between, the digest in
the Parquet file's metadata tells that the manifest beside it is not its own.
"""

from __future__ import annotations

from exporter.store.disk import Disk
from exporter.store.layout import Layout, read_manifest, standing


def swap(place: Layout, disk: Disk) -> None:
    """Finish the swap of a result that is ready, from whichever step it stands at."""
    manifest = read_manifest(place.ready)
    disk.unlink(place.spool)
    disk.sync_folder(place.work)
    if place.is_file:
        part = place.result / manifest.parts[0].name
        if part.exists():
            standing(place)
            disk.rename(part, place.out)
        disk.rename(place.ready, place.manifest)
    else:
        if standing(place) is not None:
            disk.remove_tree(place.old)
            disk.rename(place.out, place.old)
        disk.rename(place.result, place.out)


def recover(place: Layout, disk: Disk) -> None:
    """Finish an interrupted swap, or undo it where nothing took the old result's place; remove what it left."""
    if place.ready.exists():
        swap(place, disk)
    elif place.old.exists() and not place.out.exists():
        disk.rename(place.old, place.out)
    disk.remove_tree(place.old)
    disk.remove_tree(place.result)


def leave(place: Layout, disk: Disk) -> None:
    """Remove the lock file, and the work folder if no work is in it."""
    if not place.spool.exists() and not place.ready.exists():
        disk.unlink(place.lock)
        disk.remove_folder(place.work)
        disk.sync_folder(place.work.parent)
