"""Each thing that can be wrong with a result is found and named; a good one passes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.errors import CertificateError, OutputError
from exporter.store import RunFacts, parts
from exporter.store.layout import Layout
from exporter.store.manifest import Manifest, loads
from exporter.store.verify import differing_online, verify
from exporter.vendor.orders import Filters, PageRequest, PageResponse
from tests.store.orders import (
    BEGIN,
    SCHEMA,
    certificate,
    cuts,
    export,
    open_store,
    record,
    records,
    segments,
    table,
    whole,
)

ROWS = table(records(300, seconds=60))
PIECES = list(segments(ROWS, cuts(6, seconds=60)))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 128)
    monkeypatch.setattr(parts, "GROUP_ROWS", 64)


@pytest.fixture(params=["orders", "orders.parquet"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / request.param
    export(path, PIECES)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(tmp_path / "orders", PIECES)
    return tmp_path / "orders"


def manifest_of(out: Path) -> Manifest:
    return loads(Layout.of(out).manifest.read_bytes(), path=out)[0]


def rewrite(out: Path, **changes: Any) -> None:
    """Write another manifest, with the checksum that it must have."""
    Layout.of(out).manifest.write_bytes(replace(manifest_of(out), **changes).dumps())


def test_a_good_result_passes(out: Path) -> None:
    assert verify(out) == manifest_of(out)


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no finished export"):
        verify(tmp_path / "orders")


def test_every_single_flipped_bit_is_found(out: Path) -> None:
    place = Layout.of(out)
    paths = [place.manifest, *(place.part(part.name) for part in manifest_of(out).parts)]
    for path in paths:
        content = path.read_bytes()
        for at in {*range(0, len(content), max(1, len(content) // 60)), len(content) - 1}:
            changed = bytearray(content)
            changed[at] ^= 1 << at % 8
            path.write_bytes(changed)
            with pytest.raises((CertificateError, OutputError)):
                verify(out)
        path.write_bytes(content)
    verify(out)


def test_a_truncated_part_is_found(out: Path) -> None:
    part = manifest_of(out).parts[-1]
    path = Layout.of(out).part(part.name)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CertificateError, match=f"{part.name} has {part.bytes - 1:,} bytes"):
        verify(out)


def test_a_missing_part_is_found(out: Path) -> None:
    Layout.of(out).part(manifest_of(out).parts[0].name).unlink()
    with pytest.raises(CertificateError, match="can't be read: No such file"):
        verify(out)


def test_a_missing_manifest_is_found(out: Path) -> None:
    Layout.of(out).manifest.unlink()
    with pytest.raises(CertificateError, match="is missing"):
        verify(out)


@pytest.mark.parametrize("name", ["part-00009.parquet", "_hidden.parquet", "deep/er.parquet", "notes.txt"])
def test_an_extra_file_is_found(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    shutil.copy(folder / "part-00000.parquet", folder / name)
    with pytest.raises(CertificateError, match=f"{name} is not one of its files"):
        verify(folder)


@pytest.mark.parametrize("field", ["rows", "segments", "parts", "bytes"])
def test_an_edited_count_is_found(out: Path, field: str) -> None:
    path = Layout.of(out).manifest
    value = orjson.loads(path.read_bytes())
    value["counts"][field] += 1
    path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2))
    with pytest.raises(CertificateError, match=rf"counts\.{field} is"):
        verify(out)


def test_an_edited_certificate_is_found_though_the_checksum_fits(out: Path) -> None:
    made = manifest_of(out).segments
    proof = replace(made[2].certificate, rows=made[2].rows + 1)
    rewrite(out, segments=(*made[:2], replace(made[2], certificate=proof), *made[3:]))
    with pytest.raises(CertificateError) as caught:
        verify(out)
    assert "the certificates count 301 rows, the parts 300" in str(caught.value)
    assert f"{made[2].span} has {made[2].rows} rows, its certificate counts {made[2].rows + 1}" in str(caught.value)


def test_a_lost_segment_is_found(out: Path) -> None:
    made = manifest_of(out).segments
    rewrite(out, segments=(*made[:2], *made[3:]))
    with pytest.raises(CertificateError) as caught:
        verify(out)
    assert f"no segment covers {made[2].span}" in str(caught.value)
    assert "are in no certified span" in str(caught.value)


def test_overlapping_segments_are_found(out: Path) -> None:
    made = manifest_of(out).segments
    wide = replace(made[1].certificate, span=Span(made[1].span.start - 5, made[1].span.stop))
    rewrite(out, segments=(made[0], replace(made[1], certificate=wide), *made[2:]))
    with pytest.raises(CertificateError, match="segments overlap"):
        verify(out)


def test_another_query_is_found(out: Path) -> None:
    rewrite(out, query={"start": "1999-01-01"})
    with pytest.raises(CertificateError, match=r"for exporter\.query"):
        verify(out)


def forge(out: Path, rows: pa.Table, name: str = "part-00000.parquet", **options: Any) -> None:
    """Put other rows into the first part, with a manifest whose checksum fits."""
    path = Layout.of(out).part(name)
    metadata = pq.read_metadata(path).metadata
    made = manifest_of(out).parts
    with pq.ParquetWriter(path, rows.schema.with_metadata({**(rows.schema.metadata or {})}), **options) as writer:
        writer.add_key_value_metadata({key: value for key, value in metadata.items() if key != b"ARROW:schema"})
        for start in range(0, len(rows), 64):
            writer.write_table(rows.slice(start, 64))
    content = path.read_bytes()
    forged = replace(made[0], bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    rewrite(out, parts=(forged, *made[1:]))


def test_forged_rows_are_found_though_every_checksum_fits(folder: Path) -> None:
    """A row that took another's place: the counts hold, but an order is told twice."""
    rows = ROWS.slice(0, 128)
    forge(folder, rows.take([*range(40), 39, *range(41, 128)]))
    with pytest.raises(CertificateError, match="1 repeated orders, not 0 as when certified") as caught:
        verify(folder)
    assert str(caught.value).count("\n") <= 2


def test_the_same_part_forged_to_what_it_was_passes(folder: Path) -> None:
    forge(folder, ROWS.slice(0, 128))
    verify(folder)


def test_rows_out_of_order_are_found(folder: Path) -> None:
    forge(folder, ROWS.slice(0, 128).take([*range(50), 60, *range(50, 60), *range(61, 128)]))
    with pytest.raises(CertificateError, match="not in order"):
        verify(folder)


def test_rows_in_no_certified_span_are_found(folder: Path) -> None:
    rows = ROWS.slice(0, 127)
    early = table([record(BEGIN - 100, 5)])
    forge(folder, pa.concat_tables([early, rows]).combine_chunks())
    with pytest.raises(CertificateError) as caught:
        verify(folder)
    assert "1 rows from 2023-11-15T06:11:40+08:00 on are in no certified span" in str(caught.value)
    assert "its manifest says otherwise" in str(caught.value)


def test_another_schema_is_found(folder: Path) -> None:
    at = SCHEMA.get_field_index("description")
    forge(
        folder, ROWS.slice(0, 128).set_column(at, "description", ROWS["description"].slice(0, 128).cast("large_string"))
    )
    with pytest.raises(CertificateError, match="another schema"):
        verify(folder)


def test_row_groups_of_another_size_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "GROUP_ROWS", 32)
    with pytest.raises(CertificateError, match="row groups"):
        verify(folder)


def test_orders_that_nothing_tells_apart_are_no_fault(tmp_path: Path) -> None:
    alike = [record(BEGIN + at // 50, at // 2) for at in range(200)]
    export(tmp_path / "orders", [(certificate(whole(10), 200), table(alike))])
    assert verify(tmp_path / "orders").segments[0].repeated == 100


def test_an_empty_result_passes(tmp_path: Path) -> None:
    export(tmp_path / "orders", [(certificate(whole(10), 0), table([]))])
    assert verify(tmp_path / "orders").rows == 0


def test_a_result_with_missing_spans_passes_as_what_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path / "orders", whole(60))
    for proof, rows in PIECES[1:]:
        store.commit(proof, rows)
    store.finish(RunFacts(complete=False), missing=[PIECES[0][0].span])
    assert not verify(tmp_path / "orders").complete


async def test_online_asks_once_when_all_is_well_and_finds_what_differs() -> None:
    held = [(proof.span, proof.rows) for proof, _ in PIECES]
    asked: list[PageRequest] = []
    there: dict[Span, Certificate] = {proof.span: proof for proof, _ in PIECES}

    async def ask(request: PageRequest) -> PageResponse:
        asked.append(request)
        inside = [one for span, one in there.items() if request.first <= span.start and span.stop - 1 <= request.last]
        return PageResponse(request=request, records=[], total=sum(one.rows for one in inside))

    filters = Filters(status=(1,))
    assert await differing_online(held, ask=ask, filters=filters) == []
    assert asked == [PageRequest(first=BEGIN, last=BEGIN + 59, page_size=1, filters=filters)]
    changed = held[4][0]
    there[changed] = replace(there[changed], rows=there[changed].rows + 1)
    assert await differing_online(held, ask=ask, filters=filters) == [changed]
    assert len(asked) - 1 < 2 * len(held)


def resigned(value: dict[str, Any]) -> bytes:
    value = {key: item for key, item in value.items() if key != "sha256"}
    value["sha256"] = hashlib.sha256(orjson.dumps(value)).hexdigest()
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in JSON."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*path, key))


def test_a_resigned_manifest_with_any_other_value_is_never_a_crash(folder: Path) -> None:
    """Whoever changes a manifest can sign it again: each value is replaced by one of each type, or left out."""
    path = Layout.of(folder).manifest
    original = path.read_bytes()
    odd: list[Any] = [
        None,
        True,
        -1,
        1.5,
        10**18,
        "",
        "9999-99-99",
        "0001-01-01T00:00:00+14:00",
        [],
        [[]],
        {},
        {"start": 3},
    ]
    ways = [where for where in places(orjson.loads(original)) if where and where[:2] != ("segments", 2)]
    found = 0
    for where in ways:
        for at, value in enumerate([*odd, "left out"]):
            changed = orjson.loads(original)
            holder = changed
            for key in where[:-1]:
                holder = holder[key]
            if at < len(odd):
                holder[where[-1]] = value
            else:
                del holder[where[-1]]
            path.write_bytes(resigned(changed))
            try:
                verify(folder)
            except (CertificateError, OutputError):
                found += 1
    assert found > len(ways) * len(odd) // 2
    path.write_bytes(original)
    verify(folder)


@pytest.mark.parametrize(("where", "value"), [("rows", "39"), ("totals", [39, None]), ("requests", True), ("way", 3)])
def test_a_certificate_of_other_types_is_named(folder: Path, where: str, value: object) -> None:
    changed = orjson.loads(Layout.of(folder).manifest.read_bytes())
    changed["segments"][1][where] = value
    Layout.of(folder).manifest.write_bytes(resigned(changed))
    with pytest.raises(CertificateError, match=f"{where} of a Certificate can't be"):
        verify(folder)
