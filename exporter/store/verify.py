"""Check a finished result: offline against its own manifest, online against the API's totals.

Offline, each part is hashed, then read a row group at a time. What is checked: the manifest's text and sums; that its
segments and missing spans tile the range; that the files are those it lists, byte for byte, with the schema and the
metadata of its query; that rows are in order, each in a certified span, and that each segment has the
rows that its certificate counts.

Rows that are alike are not a fault as such: the server may show two orders that are equal in every field, and the
certificate counts both. The manifest holds their number when the segment was certified; another number is a fault.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from exporter import columns
from exporter.certify.bisect import SpanRows, differing
from exporter.certify.spans import Span, gaps
from exporter.errors import CertificateError, OutputError
from exporter.progress.text import in_zone
from exporter.result import RemoteFile
from exporter.store import parts
from exporter.store.disk import Disk
from exporter.store.layout import Layout, unusable
from exporter.store.manifest import CommittedSegment, Manifest, Part, loads
from exporter.vendor.orders import Filters, PageRequest, PageResponse, wire_time

EXPORT_AGAIN = "use a copy that was kept, or export it again: exporter run with --overwrite"
SHOWN = 20
"""Findings that an error names at most; there may be one for each segment."""


def verify(out: Path, *, expect: str | None = None) -> Manifest:
    """Check the result in OUT offline and return its manifest; `expect` is the SHA-256 that the manifest must have.

    Raise CertificateError that names all that is wrong, OutputError if nothing is there or a newer program wrote it.
    """
    layout = Layout.of(out)
    with unusable(out):
        is_there, has_manifest = layout.out.exists(), layout.manifest.exists()
    if not has_manifest:
        if is_there:
            raise CertificateError(f"{out}: {layout.manifest.name} is missing: nothing shows what should be there")
        raise OutputError(f"there is no finished export in {out}", hint=f"exporter status {out} shows what is there")
    text = Disk().perform("read", layout.manifest, layout.manifest.read_bytes)
    checksum = hashlib.sha256(text).hexdigest()
    if expect is not None and checksum != expect.lower():
        raise CertificateError(
            f"{layout.manifest} has the SHA-256 {checksum}, not {expect.lower()}",
            hint="this is another result than the one whose checksum was kept, or it was changed",
        )
    manifest, found = loads(text, path=layout.manifest)
    found += [*check_manifest(manifest), *_check_names(manifest, layout), *_check_files(manifest, layout)]
    found += _check_parts(manifest, layout)
    raise_if_wrong(out, found, manifest)
    return manifest


def raise_if_wrong(out: Path | str, found: Sequence[str], manifest: Manifest, *, hint: str = EXPORT_AGAIN) -> None:
    """Raise CertificateError that names what was found to be wrong with a result, if anything was."""
    if found:
        shown = [*found[:SHOWN], *([f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else [])]
        findings = in_zone("\n".join(f"- {finding}" for finding in shown), manifest.timezone)
        raise CertificateError(
            f"{out} is not what was certified:\n{findings}",
            hint=hint,
        )


async def differing_online(
    held: Sequence[SpanRows],
    *,
    ask: Callable[[PageRequest], Awaitable[PageResponse]],
    filters: Filters,
    cap: int | None = None,
) -> list[Span]:
    """Return the segments whose total differs from the rows held, with no more requests than the bisection needs.

    `held` are spans and their rows, disjoint and in order of time; `cap` is where the server's totals stop, if they do.
    """
    bisection = differing(held, cap=cap)
    total: int | None = None
    while True:
        try:
            span = bisection.send(total)
        except StopIteration as end:
            doubtful: list[Span] = end.value
            return doubtful
        response = await ask(PageRequest(first=span.start, last=span.stop - 1, page_size=1, filters=filters))
        total = response.total


def check_manifest(manifest: Manifest) -> Iterator[str]:
    """Check the manifest against itself."""
    spans = sorted([*(segment.span for segment in manifest.segments), *manifest.missing])
    for span in gaps(manifest.whole, spans):
        yield f"no segment covers {span}"
    for one, next_one in pairwise(spans):
        if next_one.start < one.stop:
            yield f"segments overlap: {one} and {next_one}"
    if spans and (spans[0].start < manifest.whole.start or spans[-1].stop > manifest.whole.stop):
        yield f"segments reach beyond the range {manifest.whole}"
    certified = sum(segment.rows for segment in manifest.segments)
    if certified != manifest.rows:
        yield f"the certificates count {certified:,} rows, the parts {manifest.rows:,}"


def _check_names(manifest: Manifest, layout: Layout) -> Iterator[str]:
    """Check the names of the parts, and that all but the last are full."""
    if layout.is_file:  # it may have been renamed, together with its manifest: nothing in it says its name
        if len(manifest.parts) != 1:
            yield f"a result in one file can't have {len(manifest.parts)} parts"
        return
    for number, part in enumerate(manifest.parts):
        if part.name != parts.name_of(number):
            yield f"part {number} can't be called {part.name}"
    if any(part.rows != parts.PART_ROWS for part in manifest.parts[:-1]):
        yield f"a part before the last has not {parts.PART_ROWS:,} rows"


def _check_files(manifest: Manifest, layout: Layout) -> Iterator[str]:
    """Check that nothing else in OUT would be read with the parts.

    Readers leave out names with a dot or an underscore in front, unless a pattern for Parquet files finds them. They
    follow links: to files, to folders, and to what is not there any more.
    """
    if layout.is_file:
        return
    own = {layout.manifest, *(layout.part(part.name) for part in manifest.parts)}
    for folder, subfolders, names in os.walk(layout.out):
        for name in sorted([*subfolders, *names]):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if path in own or stat.S_ISDIR(mode) or (name[0] in "._" and path.suffix != ".parquet"):
                continue
            kind = "" if stat.S_ISREG(mode) else ", but a link" if stat.S_ISLNK(mode) else ", and no plain file"
            yield f"{path.relative_to(layout.out)} is not one of its files{kind}"


def _check_parts(manifest: Manifest, layout: Layout) -> Iterator[str]:
    """Check the bytes of each part, and where all are as they were written, the rows."""
    whole = True
    for part in manifest.parts:
        if problem := bytes_differ(layout.part(part.name), part):
            whole = False
            yield problem
    if not whole:
        return
    rows = _Rows(manifest.segments)
    for part in manifest.parts:
        try:
            with pq.ParquetFile(layout.part(part.name)) as file:
                yield from _check_metadata(file, part, manifest)
                yield from rows.read(file, part)
        except (OSError, pa.ArrowException) as error:
            yield f"{part.name} can't be read: {error}"
            return
    yield from rows.end()


def bytes_differ(file: Path | RemoteFile, part: Part) -> str | None:
    """Return what is wrong with the file of a part, None if it is as it was written."""
    try:
        with file.open("rb") if isinstance(file, Path) else file.open() as opened:
            size = opened.seek(0, os.SEEK_END)
            if size != part.bytes:
                return f"{part.name} has {size:,} bytes, not {part.bytes:,}"
            opened.seek(0)
            checksum = hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type]  # both read into buffers
    except OSError as error:
        return f"{part.name} can't be read: {error.strerror}"
    return None if checksum == part.sha256 else f"{part.name}: its bytes were changed: their checksum is another"


def _check_metadata(file: pq.ParquetFile, part: Part, manifest: Manifest) -> Iterator[str]:
    schema = columns.schema(timezone=manifest.timezone, language=manifest.language)
    if not file.schema_arrow.equals(schema):
        yield f"{part.name} has another schema than the query's"
    expected = parts.file_metadata(schema, manifest.query) | {parts.DIGEST_KEY: part.digest.encode()}
    found = file.metadata.metadata or {}
    for key, value in expected.items():
        if found.get(key) != value:
            yield f"{part.name}: its metadata have {found.get(key)!r} for {key.decode()}, not {value!r}"
    groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    if any(rows != parts.GROUP_ROWS for rows in groups[:-1]) or groups[-1:] > [parts.GROUP_ROWS]:
        yield f"{part.name}: its row groups have not {parts.GROUP_ROWS:,} rows"


class _Rows:
    """All rows of a result in their order, checked in pieces that hold whole seconds."""

    def __init__(self, segments: Sequence[CommittedSegment]) -> None:
        self._left = sorted(segments, key=lambda segment: segment.span)[::-1]
        self._rows = 0
        self._repeated = 0
        self._held: pa.Table | None = None
        self._in_order = True

    def read(self, file: pq.ParquetFile, part: Part) -> Iterator[str]:
        """Check the rows of the next part."""
        count, first, last = 0, None, None
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            count += len(group)
            if len(group):
                first = first or group["created_at"][0]
                last = group["created_at"][-1]
            yield from self._check(group, part.name)
        if count != part.rows:
            yield f"{part.name} has {count:,} rows, not {part.rows:,}"
        if (parts.iso_time(first), parts.iso_time(last)) != (part.min_created_at, part.max_created_at):
            yield f"{part.name} is of [{parts.iso_time(first)}, {parts.iso_time(last)}], its manifest says otherwise"

    def end(self) -> Iterator[str]:
        """Check the last second and the segments after it."""
        if self._held is not None:
            yield from self._count(self._held)
        while self._left:
            yield from self._close_segment()

    def _check(self, group: pa.Table, name: str) -> Iterator[str]:
        table = group if self._held is None else pa.concat_tables([self._held, group])
        table = table.combine_chunks()
        if not self._in_order or not len(table):
            return
        if not columns.ordered(table).equals(table):
            self._in_order = False
            self._left.clear()
            self._held = None
            yield f"{name}: its rows are not in order of created_at, order_id and content; the rest was not counted"
            return
        seconds = columns.seconds(table)
        last = columns.place_of(table, seconds[-1].as_py())
        self._held = table.slice(last)
        yield from self._count(table.slice(0, last))

    def _count(self, table: pa.Table) -> Iterator[str]:
        """Count ordered rows of whole seconds to their segments."""
        seconds = columns.seconds(table)
        at = 0
        while at < len(table):
            second = seconds[at].as_py()
            while self._left and self._left[-1].span.stop <= second:
                yield from self._close_segment()
            span = self._left[-1].span if self._left else None
            if span is not None and span.start <= second:
                to = columns.place_of(table, span.stop)
                self._rows += to - at
                self._repeated += columns.repeated(table.slice(at, to - at))
            else:
                to = len(table) if span is None else columns.place_of(table, span.start)
                yield f"{to - at:,} rows from {wire_time(second)} on are in no certified span"
            at = to

    def _close_segment(self) -> Iterator[str]:
        segment = self._left.pop()
        if self._rows != segment.rows:
            yield f"{segment.span} has {self._rows:,} rows, its certificate counts {segment.rows:,}"
        if self._repeated != segment.repeated:
            yield f"{segment.span} has {self._repeated:,} repeated orders, not {segment.repeated:,} as when certified"
        self._rows = self._repeated = 0
