"""A file system that remembers every operation and tells in which states a crash can leave it.

Names (made, renamed, removed) last in the order in which they were changed, as in a journal: syncing a folder makes
its own last change last, and all before it. A file's bytes last once it is synced; of later ones any beginning may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from exporter.store.disk import Disk

Bytes = Literal["kept", "torn", "lost"]
State = dict[Path, bytes | None]
"""Each name that there is: a file's bytes, None for a folder."""


class RecordingDisk(Disk):
    """A disk that notes what is done, in order; nothing is really synced."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, Path, Any]] = []

    def perform(self, name: str, path: Path, action: Any, *arguments: Any) -> Any:
        result = None if name in {"sync", "sync_folder"} else super().perform(name, path, action, *arguments)
        if name == "write":
            self.operations.append((name, path, bytes(arguments[-1][:result])))
        elif name != "read":
            self.operations.append((name, path, arguments[-1] if arguments else None))
        return result


@dataclass(eq=False)
class Inode:
    content: bytes = b""
    synced: bytes = b""


@dataclass
class Journal:
    """What the operations so far have come to."""

    names: dict[Path, Inode | None] = field(default_factory=dict)
    history: list[tuple[frozenset[Path], dict[Path, Inode | None]]] = field(default_factory=list)
    """After each change of names: the folders it was in, and the names there were then."""
    lasting: int = 0

    def apply(self, name: str, path: Path, argument: Any) -> None:
        match name:
            case "open":
                if path not in self.names:
                    self._rename({path: Inode()}, path)
            case "mkdir":
                self._rename({path: None}, path)
            case "unlink" | "rmdir":
                self._rename({}, path)
            case "rename":
                moved = {argument / old.relative_to(path): node for old, node in self.names.items() if _in(old, path)}
                self._rename(moved, path, argument)
            case "link":
                self._rename({argument: self.names[path]}, argument)
            case "write":
                self._inode(path).content += argument
            case "truncate":
                self._inode(path).content = self._inode(path).content[:argument]
            case "sync":
                self._inode(path).synced = self._inode(path).content
            case _:
                assert name == "sync_folder"
                touched = [at for at, (folders, _) in enumerate(self.history, start=1) if path in folders]
                self.lasting = max(self.lasting, *touched, 0)

    def states(self) -> Iterator[State]:
        """Yield what a crash at this moment can leave."""
        lasting = self.history[self.lasting - 1][1] if self.lasting else {}
        yield _state(self.names, "kept")
        yield _state(self.names, "torn")
        yield _state(self.names, "lost")
        yield _state(lasting, "lost")
        yield _state(lasting, "kept")

    def _inode(self, path: Path) -> Inode:
        inode = self.names[path]
        assert inode is not None
        return inode

    def _rename(self, new: dict[Path, Inode | None], *removed: Path) -> None:
        self.names = {path: node for path, node in self.names.items() if not any(_in(path, top) for top in removed)}
        self.names |= new
        self.history.append((frozenset(path.parent for path in removed), dict(self.names)))


def crashes(operations: list[tuple[str, Path, Any]], before: State) -> Iterator[tuple[int, State]]:
    """Yield each different state that a crash during the operations can leave, and the number of those that were done.

    Of the writes to a part, whose bytes before its end are worth nothing, every thirtieth is looked at.
    """
    journal = Journal()
    for path, content in before.items():
        journal.names[path] = None if content is None else Inode(content, content)
    journal.history.append((frozenset(), dict(journal.names)))
    journal.lasting = 1
    seen: set[frozenset[tuple[Path, bytes | None]]] = set()
    for done, operation in enumerate(operations, start=1):
        journal.apply(*operation)
        name, path, _ = operation
        if name == "write" and path.name.endswith(".parquet.partial") and done % 30:
            continue
        for state in journal.states():
            key = frozenset(state.items())
            if key not in seen:
                seen.add(key)
                yield done, state


def look(folder: Path) -> State:
    """Return all that lies below a folder."""
    return {path: None if path.is_dir() else path.read_bytes() for path in sorted(folder.rglob("*"))}


def lay_out(state: State, source: Path, target: Path) -> None:
    """Make a state of `source` in the empty folder `target`."""
    for path, content in sorted(state.items()):
        place = target / path.relative_to(source)
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def _in(path: Path, top: Path) -> bool:
    return path == top or top in path.parents


def _state(names: dict[Path, Inode | None], unsynced: Bytes) -> State:
    return {path: None if node is None else _content(node, unsynced) for path, node in names.items()}


def _content(node: Inode, unsynced: Bytes) -> bytes:
    if unsynced == "kept":
        return node.content
    if unsynced == "lost" or not node.content.startswith(node.synced):
        return node.synced
    return node.content[: (len(node.synced) + len(node.content)) // 2]
