"""Results in object storage and in shared folders: all of them or none, found by whoever reads, safe to repeat."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from pyarrow.fs import S3FileSystem

import exporter
from exporter.cli import main
from exporter.delivery.publish import published, publisher, sending, storage
from exporter.delivery.publish.location import Location
from exporter.delivery.publish.publisher import Published, publish
from exporter.delivery.publish.version import Upload, Version
from exporter.errors import CertificateError, ConfigError, DiskError, OutputError, StorageError
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.store import RunFacts
from tests.delivery.places import Bucket, Folder, Place
from tests.store import orders
from tests.store.test_diff import NEW, OLD, result

OLD_FILES = {"_current.json", "versions/{0}/_manifest.json", "versions/{0}/part-00000.parquet"}


@pytest.fixture(autouse=True)
def _work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def current(place: Place) -> dict[str, Any]:
    pointer: dict[str, Any] = json.loads(place.read("_current.json"))
    return pointer


def teams(out: Path, **records: Any) -> Path:
    """Make a folder of teams as a run leaves it, from the simulator's point of view: each with its own result."""
    out.mkdir()
    for name, rows in records.items():
        result(out / f"team={name}", rows)
    return out


def rows_of(relation: duckdb.DuckDBPyRelation, query: str) -> list[Any]:
    found = relation.query("orders", query)
    assert found is not None
    return found.fetchall()


def exits(*tokens: object, code: int) -> None:
    assert main([str(token) for token in tokens]) == code


# What is published, and how it is read


def test_a_result_is_published_as_a_version_and_read_back(place: Place) -> None:
    old = result(Path("old"), OLD)
    made = publish(old, place.url)
    manifest = (old / "_manifest.json").read_bytes()
    sha256 = hashlib.sha256(manifest).hexdigest()
    version = sha256[:16]
    part = f"versions/{version}/part-00000.parquet"
    assert place.names() == {"_current.json", f"versions/{version}/_manifest.json", part}
    assert current(place) == {"format": 1, "version": version, "manifest_sha256": sha256, "parts": [part]}
    assert place.read(part) == (old / "part-00000.parquet").read_bytes()
    assert place.read(f"versions/{version}/_manifest.json") == manifest
    assert made == Published(
        url=place.url,
        version=version,
        manifest_sha256=sha256,
        pattern=f"{place.url}/versions/{version}/*.parquet",
        rows=60,
        parts=1,
        bytes=(old / "part-00000.parquet").stat().st_size,
        sent=2,
        sent_bytes=(old / "part-00000.parquet").stat().st_size + len(manifest),
        pruned=(),
    )

    local, opened = exporter.open(old), exporter.open(place.url)
    assert (opened.rows, opened.complete, opened.manifest, opened.url) == (60, True, local.manifest, place.url)
    assert opened.to_arrow() == local.to_arrow()
    assert opened.to_pandas().equals(local.to_pandas())
    assert opened.to_polars().equals(local.to_polars())
    query = "SELECT count(*), sum(total), min(created_at) FROM orders"
    assert rows_of(opened.to_duckdb(), query) == rows_of(local.to_duckdb(), query)
    assert [*opened.urls, *map(str, opened.paths)] == (
        [f"{place.url}/{part}"] if isinstance(place, Bucket) else [str(place.path / part)]
    )
    assert f"1 file in {place.url}" in repr(opened)
    assert list(published.verify_at(place.url)) == [None]
    assert exporter.diff(place.url, old).counts == {"added": 0, "changed": 0, "vanished": 0, "same": 60}


def test_the_pattern_is_what_other_tools_read(tmp_path: Path) -> None:
    alone = publish(result(Path("old"), OLD), f"file://{tmp_path}/alone").pattern
    several = publish(teams(Path("both"), a=OLD, b=NEW), f"file://{tmp_path}/several").pattern
    assert duckdb.read_parquet(alone).count("*").fetchall() == [(60,)]
    assert len(pl.read_parquet(alone)) == 60
    by_team = "SELECT team, count(*) FROM orders GROUP BY team ORDER BY team"
    assert rows_of(duckdb.read_parquet(several, hive_partitioning=True), by_team) == [
        ("a", 60),
        ("b", 60),
    ]
    assert sorted(pl.read_parquet(several, hive_partitioning=True)["team"].unique()) == ["a", "b"]


def test_the_pattern_is_what_other_tools_read_from_a_bucket(bucket: Bucket) -> None:
    pattern = publish(result(Path("old"), OLD), bucket.url).pattern
    assert len(pl.read_parquet(pattern, storage_options={"aws_allow_http": "true"})) == 60
    s3 = S3FileSystem(endpoint_override=bucket.server.url, region="us-east-1")
    folder = pattern.removeprefix("s3://").removesuffix("/*.parquet")
    assert len(pd.read_parquet(folder, filesystem=s3, dtype_backend="pyarrow")) == 60


def test_a_result_in_one_file_keeps_its_name(place: Place) -> None:
    new = result(Path("all of #1 *.parquet"), NEW)
    made = publish(new, place.url)
    assert current(place)["parts"] == [f"versions/{made.version}/all of #1 *.parquet"]
    assert exporter.open(place.url).to_arrow() == exporter.open(new).to_arrow()
    assert list(published.verify_at(place.url)) == [None]


def test_an_empty_result_is_published_too(place: Place) -> None:
    empty = result(Path("empty"), [])
    publish(empty, place.url)
    assert exporter.open(place.url).to_arrow().num_rows == exporter.open(empty).to_arrow().num_rows == 0


def test_teams_are_published_as_one(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    out = teams(Path("both"), a=OLD, b=NEW)
    made = publish(out, place.url)
    folder = f"versions/{made.version}"
    files = {f"{folder}/team={team}/{name}" for team in "ab" for name in ("_manifest.json", "part-00000.parquet")}
    assert place.names() == {"_current.json", f"{folder}/_teams.json", *files}
    assert current(place)["parts"] == [f"{folder}/team={team}/part-00000.parquet" for team in "ab"]
    listed = json.loads(place.read(f"{folder}/_teams.json"))
    assert listed["counts"] == {"teams": 2, "complete": 2, "rows": 120, "bytes": made.bytes}
    assert listed["teams"]["a"]["sha256"] == hashlib.sha256(Path("both/team=a/_manifest.json").read_bytes()).hexdigest()
    assert made.manifest_sha256 == hashlib.sha256(place.read(f"{folder}/_teams.json")).hexdigest()

    opened = exporter.open(place.url)
    assert {name: one.rows for name, one in opened.teams.items()} == {"a": 60, "b": 60}
    assert (opened.rows, opened.complete, opened.manifest) == (120, True, listed)
    assert opened.to_arrow() == exporter.open(out).to_arrow()
    assert opened.to_polars().equals(exporter.open(out).to_polars())
    by_team = "SELECT team, count(*) FROM orders GROUP BY team ORDER BY team"
    assert rows_of(opened.to_duckdb(), by_team) == [("a", 60), ("b", 60)]
    exits("verify", place.url, code=0)
    exits("verify", place.url, "--expect", made.manifest_sha256, "--json", code=0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{place.url} is right: 120 orders of 2 teams"
    assert json.loads(lines[1])["teams"] == 2
    assert exporter.diff(out, place.url).same == 120

    assert publish(out, place.url).sent == 0
    place.write(f"{folder}/team=b/part-00000.parquet", b"PAR1")
    with pytest.raises(CertificateError, match=r"team b: part-00000\.parquet has 4 bytes") as caught:
        published.verify_at(place.url)
    assert (caught.value.hint or "").startswith("publish the result again")
    place.remove(f"{folder}/team=b/_manifest.json")
    with pytest.raises(CertificateError, match=r"team=b/_manifest\.json is missing"):
        exporter.open(place.url)


def test_a_published_result_is_compared_with_the_api_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/shared"
    with serving_apart(SimulatorOptions(rows=700, key="the-key-of-7f3a")) as api:
        monkeypatch.setenv("DUOPLUS_API_KEY", "the-key-of-7f3a")
        exits("run", "orders", "--base-url", api, "--rate", "1e6", "--quiet", code=0)
        publish(Path("orders"), url)
        exits("verify", url, "--online", "--rate", "1e6", code=0)
    assert capsys.readouterr().out.splitlines()[1] == "the API's totals are the same"


def test_where_nothing_is_published_nothing_is_opened(place: Place) -> None:
    for read in (exporter.open, published.results_of, published.verify_at):
        with pytest.raises(OutputError, match=f"nothing is published at {place.url}"):
            read(place.url)
    assert place.names() == set()


# Again, and after a stop


def test_the_same_result_again_sends_nothing(place: Place) -> None:
    old = result(Path("old"), OLD)
    first = publish(old, place.url)
    before = {key: place.read(key) for key in place.names()}
    again = publish(old, place.url + "/", overwrite=True)
    assert (again.sent, again.sent_bytes, again.version) == (0, 0, first.version)
    assert {key: place.read(key) for key in place.names()} == before


def test_what_is_missing_or_damaged_is_sent_again(place: Place) -> None:
    old = result(Path("old"), OLD)
    made = publish(old, place.url)
    part = f"versions/{made.version}/part-00000.parquet"
    whole = place.read(part)
    for damage in (whole[:-1] + b"x", whole[:100], None):
        place.remove(part) if damage is None else place.write(part, damage)
        sent: list[Upload] = []
        assert publish(old, place.url, on_sent=sent.append).sent_bytes == len(whole)
        assert [one.key for one in sent] == [part]
        assert place.read(part) == whole


KILLED_AT_THE_FIRST = """
import os, signal, sys
from pathlib import Path
from exporter.delivery.publish.publisher import publish
publish(Path(sys.argv[1]), sys.argv[2], on_sent=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_publisher_that_was_killed_is_resumed(place: Place) -> None:
    out = teams(Path("six"), **dict.fromkeys("abcdef", OLD))
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_FIRST, out, place.url], check=False)
    assert killed.returncode == -signal.SIGKILL
    there = {key for key in place.names() if key.endswith(".parquet")}
    assert 1 <= len(there) <= 6
    assert "_current.json" not in place.names()
    with pytest.raises(OutputError, match="nothing is published"):
        exporter.open(place.url)
    made = publish(out, place.url)
    assert made.sent == 6 + 7 - len(there)
    assert len(published.verify_at(place.url)) == 6
    assert publish(out, place.url).sent == 0


def test_what_a_killed_publisher_had_half_written_to_a_folder_is_removed(tmp_path: Path) -> None:
    place = Folder(tmp_path / "shared")
    made = publish(result(Path("orders#1.parquet"), OLD), place.url)
    before = place.names()
    place.write(f"versions/{made.version}/orders#1.parquet#1", b"PAR1")
    assert publish(Path("orders#1.parquet"), place.url).sent == 0
    assert place.names() == before


# Another result


def test_another_result_needs_overwrite_and_keeps_the_version_before(place: Place) -> None:
    old, new = result(Path("old"), OLD), result(Path("new"), NEW)
    first = publish(old, place.url)
    before = place.names()
    with pytest.raises(OutputError, match="another result is published there") as caught:
        publish(new, place.url)
    assert (caught.value.hint, place.names()) == ("--overwrite replaces it", before)
    second = publish(new, place.url, overwrite=True)
    assert current(place)["version"] == second.version != first.version
    assert place.names() > before
    assert exporter.open(place.url).to_arrow() == exporter.open(new).to_arrow()
    place.write("versions/notes.txt", b"not ours")
    third = publish(new, place.url, prune=True)
    assert third.pruned == (first.version,)
    assert {key for key in place.names() if first.version in key} == set()
    assert "versions/notes.txt" in place.names()
    assert list(published.verify_at(place.url)) == [None]


@pytest.mark.parametrize("standing", [False, True], ids=["first", "overwriting"])
def test_of_two_publishers_at_once_one_wins(bucket: Bucket, standing: bool) -> None:
    """The other one publishes completely between our sending and our pointer."""
    if standing:
        publish(result(Path("older"), OLD[1:]), bucket.url)
    old, new = result(Path("old"), OLD), result(Path("new"), NEW)

    def other(upload: Upload) -> None:
        if upload.key.endswith("_manifest.json"):
            publish(new, bucket.url, overwrite=standing)

    with pytest.raises(OutputError, match="published there meanwhile"):
        publish(old, bucket.url, overwrite=standing, on_sent=other)
    assert exporter.open(bucket.url).to_arrow() == exporter.open(new).to_arrow()


def test_two_publishers_of_the_same_result_both_succeed(bucket: Bucket) -> None:
    old = result(Path("old"), OLD)
    seen: list[Published] = []

    def other(upload: Upload) -> None:
        if upload.key.endswith("_manifest.json") and not seen:
            seen.append(publish(old, bucket.url))

    assert publish(old, bucket.url, on_sent=other).version == seen[0].version == current(bucket)["version"]


def test_a_folder_takes_one_publisher_at_a_time(tmp_path: Path) -> None:
    place = Folder(tmp_path / "shared")
    old, new = result(Path("old"), OLD), result(Path("new"), NEW)
    refused: list[str] = []

    def other(_: Upload) -> None:
        with pytest.raises(OutputError, match="in use by another") as caught:
            publish(new, place.url, overwrite=True)
        refused.append(str(caught.value))

    made = publish(old, place.url, on_sent=other)
    assert len(refused) == made.sent == 2
    assert current(place)["version"] == made.version
    assert place.names() == {key.format(made.version) for key in OLD_FILES}


def test_a_pointer_in_a_folder_that_changed_is_not_replaced(tmp_path: Path) -> None:
    """Whoever writes there without the lock, with another tool."""
    place = Folder(tmp_path / "shared")
    old, new = result(Path("old"), OLD), result(Path("new"), NEW)
    publish(new, f"{place.url}/other")

    def other(_: Upload) -> None:
        place.write("_current.json", place.read("other/_current.json"))

    with pytest.raises(OutputError, match="published there meanwhile"):
        publish(old, place.url, on_sent=other)


def test_a_version_is_not_pruned_once_another_result_stands(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = result(Path("old"), OLD), result(Path("new"), NEW)
    publish(old, place.url)
    older = place.read("_current.json")
    replace = publisher._replace

    def replace_then_lose(*arguments: Any) -> None:
        replace(*arguments)
        place.write("_current.json", older)

    monkeypatch.setattr(publisher, "_replace", replace_then_lose)
    assert publish(new, place.url, overwrite=True, prune=True).pruned == ()
    assert exporter.open(place.url).to_arrow() == exporter.open(old).to_arrow()


def test_of_two_processes_one_exits_with_5(bucket: Bucket) -> None:
    result(Path("old"), OLD)
    result(Path("new"), NEW)
    command = [sys.executable, "-m", "exporter", "publish", "--quiet"]
    both = [
        subprocess.Popen([*command, out, bucket.url], stderr=subprocess.PIPE, text=True, env={**os.environ})
        for out in ("old", "new")
    ]
    errors = {process.communicate()[1] for process in both}
    assert sorted(process.returncode for process in both) == [0, 5]
    assert any("another" in error for error in errors)
    winner = "old" if both[0].returncode == 0 else "new"
    assert exporter.open(bucket.url).to_arrow() == exporter.open(winner).to_arrow()


# What is not published


def test_only_what_is_certified_is_published(place: Place) -> None:
    old = result(Path("old"), OLD)
    part = old / "part-00000.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-10] + b"0123456789")
    with pytest.raises(CertificateError, match="its bytes were changed"):
        publish(old, place.url)
    part.unlink()
    with pytest.raises(CertificateError, match="can't be read"):
        publish(old, place.url)
    assert place.names() == set()
    with pytest.raises(OutputError, match="no finished export"):
        publish(Path("nothing"), place.url)
    (old / "_manifest.json").write_bytes((old / "_manifest.json").read_bytes().replace(b'"rows": 60', b'"rows": 61'))
    with pytest.raises(CertificateError, match="changed by hand or damaged"):
        publish(old, place.url)


def test_names_that_no_store_should_have_are_not_published(place: Place) -> None:
    with pytest.raises(CertificateError, match=r"'\\x1b\[31m.parquet' is no name of a part"):
        publish(result(Path("\x1b[31m.parquet"), OLD), place.url)
    with pytest.raises(ConfigError, match="a name is 1 to 64 of"):
        publish(teams(Path("odd"), **{"a b": OLD}), place.url)
    assert place.names() == set()


def test_an_uncertified_result_is_not_published(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "FACTS", RunFacts(complete=False))
    with pytest.raises(CertificateError, match="is not certified: the whole range"):
        publish(result(Path("old"), OLD), place.url)
    with pytest.raises(CertificateError, match=r"(?s)1 of 1 team can't be published:\n- team a: .*not certified"):
        publish(teams(Path("one"), a=OLD), place.url)
    assert place.names() == set()


def test_teams_are_published_once_all_have_a_result(place: Place) -> None:
    out = teams(Path("both"), a=OLD, b=NEW)
    (out / ".team=c.exporter").mkdir()
    listed = {
        "d": {"state": "failed", "rows": 0, "bytes": 0, "sha256": None, "error": "the key was refused", "exit": 3}
    }
    (out / "_teams.json").write_text(json.dumps({"format": 1, "teams": listed}))
    with pytest.raises(CertificateError, match="2 of 4 teams can't be published") as caught:
        publish(out, place.url)
    assert "- team c: there is no finished export" in str(caught.value)
    assert "(the key was refused)" in str(caught.value)
    assert publish(out / "team=a", place.url).rows == 60
    (out / "_teams.json").write_text('{"teams": 1}')
    with pytest.raises(CertificateError, match="no list of teams"):
        publish(out, f"{place.url}/all")


def test_a_file_that_changes_meanwhile_is_not_published(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    old = result(Path("old"), OLD)
    part = old / "part-00000.parquet"
    content = part.read_bytes()
    monkeypatch.setattr(Version, "verify", lambda _: part.write_bytes(content[:-1] + b"x"))
    with pytest.raises(CertificateError, match="changed on this machine while it was published"):
        publish(old, place.url)
    monkeypatch.setattr(Version, "verify", lambda _: part.unlink())
    with pytest.raises(DiskError, match="can't be read: No such file"):
        publish(old, place.url)
    assert "_current.json" not in place.names()


CHANGES = [lambda content: content[:-1] + b"x", lambda content: content + b"x", lambda _: None]


@pytest.mark.parametrize("change", CHANGES, ids=["changed", "longer", "lost"])
def test_what_the_store_has_is_compared_with_what_was_sent(
    place: Place, change: Callable[[bytes], bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = storage.Storage.put

    def damaging(self: storage.Storage, key: str, source: Any, *, size: int) -> None:
        if (content := change(source if isinstance(source, bytes) else source.read_bytes())) is not None:
            put(self, key, content, size=size)

    monkeypatch.setattr(storage.Storage, "put", damaging)
    with pytest.raises((StorageError, DiskError), match=r"is not what was sent|could not open"):
        publish(result(Path("old"), OLD), place.url)
    assert "_current.json" not in place.names()


def test_a_large_file_is_sent_in_chunks_and_known_by_its_tag(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(2 * storage.CHUNK_BYTES + 7)
    path = Path("large")
    path.write_bytes(content)
    upload = Upload(key="large", source=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    at = storage.Storage.at(Location.of(bucket.url))
    assert sending.send(at, [upload], there={}, on_sent=lambda _: None) == [upload]
    assert bucket.server.objects(bucket.prefix)["large"]["ETag"].endswith('-3"')
    assert bucket.read("large") == content
    monkeypatch.setattr(storage.Storage, "file", None)  # nothing is read back where the tag is enough
    assert sending.send(at, [upload], there=at.stored(""), on_sent=lambda _: None) == []
    assert storage.chunk_bytes(10**12) * 10_000 >= 10**12


# What was damaged after it was published


def test_verify_finds_what_is_not_as_it_was_published(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    made = publish(result(Path("old"), OLD), place.url)
    folder = f"versions/{made.version}"
    part, manifest = f"{folder}/part-00000.parquet", f"{folder}/_manifest.json"
    originals = {key: place.read(key) for key in place.names()}
    pointer = json.loads(originals["_current.json"])

    def found(key: str, content: bytes | None, message: str, code: int = 4) -> None:
        place.remove(key) if content is None else place.write(key, content)
        exits("verify", place.url, code=code)
        assert message in capsys.readouterr().err
        place.write(key, originals[key]) if key in originals else place.remove(key)

    whole = originals[part]
    found(part, whole[:99] + bytes([whole[99] ^ 1]) + whole[100:], "part-00000.parquet: its bytes were changed")
    found(part, whole[:-1], f"part-00000.parquet has {len(whole) - 1:,} bytes, not {len(whole):,}")
    found(part, None, "part-00000.parquet is missing")
    found(f"{folder}/more.parquet", whole, f"{folder}/more.parquet is not one of its files")
    found(manifest, originals[manifest].replace(b"Finished", b"finished") + b" ", "_manifest.json was changed")
    other_manifest = (result(Path("new"), NEW) / "_manifest.json").read_bytes()
    found(manifest, other_manifest, "_manifest.json was changed: its checksum is another one")
    found(manifest, None, "has no _manifest.json")
    other = {**pointer, "parts": []}
    found("_current.json", json.dumps(other).encode(), "_current.json lists other parts than its manifest")
    found("_current.json", json.dumps({**pointer, "version": "../secrets"}).encode(), "can't be read as what")
    found("_current.json", b"[]", "can't be read as what")
    found("_current.json", json.dumps({**pointer, "parts": [1]}).encode(), "can't be read as what")
    found("_current.json", json.dumps({**pointer, "format": 2}).encode(), "is of version 2", code=5)
    found("_current.json", None, "nothing is published", code=5)
    exits("verify", place.url, "--expect", made.manifest_sha256.upper(), code=0)

    for name, forged, message in (
        ("_manifest.json", originals[manifest].replace(b'"rows": 60', b'"rows": 61'), "was changed by hand or damaged"),
        (
            "_manifest.json",
            originals[manifest].replace(b'"part-0', b'"../\\u001b0'),
            r"'../\x1b00000.parquet' is no name",
        ),
        ("_teams.json", b"[]", "is no list of teams"),
        (
            "_teams.json",
            b'{"teams": {"../a": {"state": "complete"}}}',
            "is no list of teams that can be read: team '../a'",
        ),
        ("_teams.json", b'{"teams": {"a": {"state": "complete"}}}', "team=a/_manifest.json is missing"),
    ):
        sha256 = hashlib.sha256(forged).hexdigest()
        place.write(f"versions/{sha256[:16]}/{name}", forged)
        forged_pointer = {"format": 1, "version": sha256[:16], "manifest_sha256": sha256, "parts": []}
        found("_current.json", json.dumps(forged_pointer).encode(), message)

    exits("verify", place.url, "--expect", "0" * 64, code=4)
    assert "another result" in capsys.readouterr().err
    place.write(part, whole[:-1])
    with pytest.raises(OutputError, match="missing or not whole"):
        exporter.open(place.url)
    with pytest.raises(CertificateError, match="missing or not whole"):
        exporter.diff("old", place.url)
    place.write(part, whole[:-1] + b"x")
    with pytest.raises(CertificateError, match="these parts are damaged"):
        exporter.diff("old", place.url)
