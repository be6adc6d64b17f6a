"""Send what a store does not have whole, and check each object by what the store says of it.

Many stores make their tag of the MD5 of what they took, or of the MD5s of its chunks: where it is the one expected, the
object is what was sent. Any other tag says nothing, so the object is read back and its SHA-256 compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from exporter.delivery.publish.storage import Storage, Stored, chunk_bytes
from exporter.delivery.publish.version import Upload
from exporter.errors import CertificateError, DiskError, StorageError

FILES_AT_ONCE = 4


def send(
    storage: Storage, uploads: Sequence[Upload], *, there: Mapping[str, Stored], on_sent: Callable[[Upload], None]
) -> list[Upload]:
    """Send those that are not `there` whole, a few at once, and return them; `on_sent` is called in this thread.

    Raise StorageError if the store fails, or has something else afterwards; CertificateError if a file has changed.
    """
    sent = []
    with ThreadPoolExecutor(FILES_AT_ONCE) as threads:
        sending = {threads.submit(_send, storage, one, there.get(one.key)): one for one in uploads}
        try:
            for done in as_completed(sending):
                if done.result():
                    sent.append(sending[done])
                    on_sent(sending[done])
        finally:
            threads.shutdown(cancel_futures=True)
    return sent


def _send(storage: Storage, upload: Upload, stored: Stored | None) -> bool:
    """Send an object unless it is there whole; return whether it was sent."""
    tag = _expected_tag(upload)
    if stored is not None and _is_whole(storage, upload, stored, tag):
        return False
    storage.put(upload.key, upload.source, size=upload.size)
    stored = storage.describe(upload.key)
    if stored is None or not _is_whole(storage, upload, stored, tag):
        raise StorageError(
            f"{storage.location.url(upload.key)} is not what was sent: it has {0 if stored is None else stored.size:,} "
            f"bytes of {upload.size:,}, or others",
            hint="something else writes there, or the store is damaged; run the same command again",
        )
    return True


def _is_whole(storage: Storage, upload: Upload, stored: Stored, tag: str) -> bool:
    """Return whether a stored object is what is uploaded."""
    if stored.size != upload.size:
        return False
    if stored.tag is not None and stored.tag.removeprefix("W/").strip('"').lower() == tag:
        return True
    with storage.file(upload.key, stored.size).open() as back:
        return hashlib.file_digest(back, "sha256").hexdigest() == upload.sha256  # type: ignore[arg-type]  # a BufferedReader


def _expected_tag(upload: Upload) -> str:
    """Return the tag of what is certified; raise CertificateError if the file is something else by now."""
    size = chunk_bytes(upload.size)
    whole, digests = hashlib.sha256(), list[bytes]()
    for chunk in _chunks(upload.source, size):
        whole.update(chunk)
        digests.append(_md5(chunk))
    if whole.hexdigest() != upload.sha256:
        raise CertificateError(
            f"{upload.key} changed on this machine while it was published",
            hint="publish it again once nothing writes to it",
        )
    if upload.size <= size:
        return digests[0].hex()
    return f"{_md5(b''.join(digests)).hex()}-{len(digests)}"


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _chunks(source: Path | bytes, size: int) -> Iterator[bytes]:
    """Yield the chunks in which a source is sent."""
    if isinstance(source, bytes):
        yield from (source[at : at + size] for at in range(0, len(source), size))
        return
    try:
        with source.open("rb") as file:
            while chunk := file.read(size):
                yield chunk
    except OSError as error:
        raise DiskError(f"{source} can't be read: {error.strerror}") from error
