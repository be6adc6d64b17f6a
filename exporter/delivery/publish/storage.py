"""Access what is stored below one URL, through obstore: each failure becomes a `StorageError` in the store's words.

obstore retries and times out by itself; `TIMEOUT` alone is ours.

Of two writers that replace the pointer at once, one wins: object stores compare the version that the writer read
(If-None-Match, If-Match) when they take the new one. A folder on this machine can't, so a lock is held while a result
is published to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.delivery.publish.failures import failure, says_no_bucket, words
from exporter.delivery.publish.location import Location
from exporter.delivery.publish.pointer import VERSIONS
from exporter.delivery.publish.remote_file import ObjectFile
from exporter.errors import ConfigError, StorageError
from exporter.store.disk import Disk
from exporter.store.lock import Lock

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK_BYTES = 5 * 2**20
"""What is sent in one request at most; each is in memory while it is on its way …"""
CHUNKS_AT_ONCE = 2
"""… and of each file this many are."""
MOST_CHUNKS = 10_000
"""Chunks of one object at most, in S3 and what is like it."""
TIMEOUT = timedelta(minutes=2)
"""For one request: obstore's own 30 s are too few for the chunks that are under way at once on a slow line."""

MOST_READ = 2**28
"""Bytes of a pointer, a manifest or a list of teams at most: they are read into memory."""

LOCK = Path(".exporter", "lock")

_STORE_HINT = "check the address, and the store's variables in the environment"
_FOLDER_HINT = "check the path, and that folders and files may be made there"

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What a store says of an object: its size, and a tag that many stores make of its bytes."""

    size: int
    tag: str | None


Seen = Mapping[str, str]
"""The version of an object that was read: nobody else may have replaced it when it is written again."""


class Storage:
    """What is stored below one location."""

    def __init__(self, location: Location, store: ObjectStore) -> None:
        self.location = location
        self._store = store

    @classmethod
    def at(cls, location: Location, *, make: bool = False) -> Storage:
        """Open a location; with `make`, make the folder that it names on this machine.

        Raise ConfigError if obstore is missing or the settings in the environment can't be used.
        """
        try:
            from obstore import exceptions, store  # noqa: PLC0415  # heavy, and an extra
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{location} needs {error.name}, which is not installed", hint="pip install obstore"
            ) from error
        try:
            match location.scheme:
                case "s3":
                    options = {"checksum_algorithm": "sha256", **_options(location)}
                    return cls(location, store.S3Store(location.bucket, **options))
                case "gs":
                    return cls(location, store.GCSStore(location.bucket, **_options(location)))
                case "az":
                    return cls(location, store.AzureStore(location.bucket, **_options(location)))
                case _:
                    if not make and not location.path().is_dir():
                        return cls(location, store.MemoryStore())  # nothing is there
                    return _Folder(location, store.LocalStore(location.path(), automatic_cleanup=True, mkdir=make))
        except (exceptions.BaseError, ValueError, OSError) as error:
            raise ConfigError(
                f"{location} can't be used: {words(error, environ=os.environ)}",
                hint=_FOLDER_HINT if location.is_local else _STORE_HINT,
            ) from None

    def publishing(self) -> AbstractContextManager[None]:
        """Return a context in which a result is published; raise OutputError where another process does so."""
        return nullcontext()

    def read(self, key: str) -> tuple[bytes, Seen] | None:
        """Return a small object and its version; None if there is none."""
        with self._reporting("read", key):
            try:
                found = self._store.get(key)
                meta = found.meta
                if meta["size"] > MOST_READ:
                    raise StorageError(f"{self.location.url(key)} has {meta['size']:,} bytes: no publisher wrote it")
                versions = {"e_tag": meta["e_tag"], "version": meta["version"]}
                return bytes(found.bytes()), {name: value for name, value in versions.items() if value is not None}
            except FileNotFoundError as error:
                if says_no_bucket(error):
                    raise
                return None

    def stored(self, folder: str) -> dict[str, Stored]:
        """Return all objects in a folder, and in those below it, by key."""
        with self._reporting("list", folder):
            return {
                one["path"]: Stored(size=one["size"], tag=one["e_tag"])
                for page in self._store.list(folder)
                for one in page
            }

    def describe(self, key: str) -> Stored | None:
        """Return what the store says of an object; None if there is none."""
        with self._reporting("read", key):
            try:
                meta = self._store.head(key)
            except FileNotFoundError:
                return None
        return Stored(size=meta["size"], tag=meta["e_tag"])

    def file(self, key: str, size: int) -> ObjectFile:
        """Return an object of a known size to read from."""

        def fetch(start: int, length: int) -> bytes:
            with self._reporting("read", key):
                return bytes(self._store.get_range(key, start=start, length=length))

        return ObjectFile(url=self.location.url(key), size=size, fetch=fetch)

    def put(self, key: str, source: Path | bytes, *, size: int) -> None:
        """Store a file, chunk by chunk, or a few bytes, in place of what is there."""
        chunk = chunk_bytes(size)
        with self._reporting("write", key):
            self._store.put(
                key,
                source,
                use_multipart=size > chunk,
                chunk_size=chunk,
                max_concurrency=CHUNKS_AT_ONCE,
            )

    def replace(self, key: str, content: bytes, *, seen: Seen | None) -> bool:
        """Store a small object if what is there is still what was seen, None for nothing; return whether it was."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError  # noqa: PLC0415

        mode: Any = "create" if seen is None else dict(seen)
        with self._reporting("write", key):
            try:
                self._store.put(key, content, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        with self._reporting("delete", keys[0]):
            self._store.delete(keys)

    @contextmanager
    def _reporting(self, doing: str, key: str) -> Iterator[None]:
        """Report what the library raises; not as its cause, which would be shown with secrets and all."""
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except (BaseError, OSError, ValueError, NotImplementedError) as error:
            raise failure(error, doing=doing, url=self.location.url(key), environ=os.environ) from None


class _Folder(Storage):
    """A folder on this machine: whoever publishes to it holds its lock, and what is written is made durable."""

    def __init__(self, location: Location, store: ObjectStore) -> None:
        super().__init__(location, store)
        self._root = location.path()
        self._disk = Disk()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        path = self._root / LOCK
        lock = Lock.take(path, self._disk)
        try:
            for path_of_rest in filter(_is_rest, self._root.glob(f"{VERSIONS}/**/*#*")):
                self._disk.unlink(path_of_rest)
            yield
        finally:
            if lock.is_in_place:
                self._disk.unlink(path)
                self._disk.remove_folder(path.parent)
            lock.release()

    def put(self, key: str, source: Path | bytes, *, size: int) -> None:
        super().put(key, source, size=size)
        path = self._root / key
        with self._disk.read_only(path) as file:
            file.sync()
        folder = path.parent
        while folder != self._root.parent:
            self._disk.sync_folder(folder)
            folder = folder.parent

    def replace(self, key: str, content: bytes, *, seen: Seen | None) -> bool:
        now = self.read(key)
        if (None if now is None else now[1]) != seen:
            return False
        self._disk.write_whole(self._root / key, content)
        return True


def _is_rest(path: Path) -> bool:
    """Return whether a file is what obstore had written of another one when its process was killed."""
    return path.name.rpartition("#")[2].isdecimal()


def chunk_bytes(size: int) -> int:
    """Return the bytes of each chunk in which an object of this size is sent."""
    return max(CHUNK_BYTES, -(-size // MOST_CHUNKS))


def _options(location: Location) -> dict[str, Any]:
    plain = any(os.environ.get(name, "").lower().startswith("http://") for name in _ENDPOINTS)
    client = {"timeout": TIMEOUT, **({"allow_http": True} if plain else {})}
    return {"prefix": location.prefix or None, "client_options": client}
