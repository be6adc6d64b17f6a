"""What keeps a result from being published: wrong addresses, missing rights, stores that fail; and no secret shown."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exporter
from exporter.cli import main
from exporter.delivery.publish import failures
from exporter.delivery.publish.location import Location, is_url
from exporter.delivery.publish.pointer import Pointer, id_of, loads
from exporter.delivery.publish.published import verify_at
from exporter.delivery.publish.publisher import publish
from exporter.delivery.publish.storage import Storage
from exporter.errors import CertificateError, ConfigError, StorageError
from exporter.store.verify import verify
from exporter.vendor.foreign_text import without_credentials
from tests.delivery.places import Bucket
from tests.delivery.s3_server import KEY, SECRET
from tests.store.test_diff import NEW, OLD, result


@pytest.fixture(autouse=True)
def _work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_address_names_a_store_a_bucket_and_a_path() -> None:
    for url, bucket, prefix in (
        ("s3://bucket", "bucket", ""),
        ("S3://bucket/", "bucket", ""),
        ("gs://a-b.c/orders/2025/", "a-b.c", "orders/2025"),
        ("az://box/Bestellungen für alle", "box", "Bestellungen für alle"),
        ("file:///srv/50%25%20done", "", "srv/50% done"),
    ):
        location = Location.of(url)
        assert (location.bucket, location.prefix) == (bucket, prefix)
        assert is_url(url)
        assert Location.of(str(location).replace("%", "%25")) == location
    assert str(Location.of("s3://bucket/")) == "s3://bucket"
    assert Location.of("s3://bucket").url("_current.json") == "s3://bucket/_current.json"
    assert not any(map(is_url, ["orders", "s3:/bucket", Path("s3://bucket"), "/srv/a://b"]))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("orders", "is no address"),
        ("ftp://host/orders", "is no address"),
        ("https://bucket.s3.amazonaws.com/orders", "is no address"),
        ("s3://", "names no bucket"),
        ("s3:///orders", "names no bucket"),
        ("s3://bucket:80/orders", "names no bucket"),
        ("file://host/srv", "names no folder"),
        ("file:///", "names no folder"),
        ("s3://bucket/a//b", "an empty or dotted step"),
        ("s3://bucket/../other", "an empty or dotted step"),
        ("file:///srv/%2e%2e/etc", "an empty or dotted step"),
        ("s3://bucket/a*", r"has \* in its path"),
        ("s3://bucket/a%20b", "has % in its path"),
        ("s3://bucket/a\x1b[31m", "in its path"),
    ],
)
def test_an_address_that_cannot_be_used_exits_with_2(
    url: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Location.of(url)
    assert caught.value.hint
    assert main(["publish", "orders", url]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [f"s3://{KEY}:{SECRET}@bucket/orders", f"az://box/orders?sv=1&sig={SECRET}", f"s3://bucket/orders#{SECRET}"],
)
@pytest.mark.parametrize("command", ["publish", "verify", "diff"])
def test_an_address_with_secrets_is_refused_and_not_shown(
    url: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result(Path("orders"), OLD)
    monkeypatch.setenv("EXPORTER_LOG_FILE", "export.log")
    assert main([command, *([] if command == "verify" else ["orders"]), url, "--verbose", "--json"]) == 2
    told = capsys.readouterr()
    assert "credentials come from the environment" in told.err
    assert SECRET not in told.err + told.out + Path("export.log").read_text(encoding="utf-8")


@given(st.text(), st.text("aZ9/+=:%é?#@", min_size=1))
def test_a_text_without_credentials_is_the_rest_of_it(other: str, secret: str) -> None:
    other = other.replace("://", "")
    assert without_credentials(other) == other
    assert without_credentials(f"x s3://u:{secret}@host/a y") == "x s3://***@host/a y"
    assert without_credentials(f"x az://box/a?sig={secret.replace('@', '')} y") == "x az://box/a?*** y"


def test_without_obstore_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result(Path("orders"), OLD)
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert main(["publish", "orders", "s3://bucket/orders"]) == 2
    told = capsys.readouterr().err
    assert "needs obstore, which is not installed\n" in told
    assert "hint: pip install obstore\n" in told
    with pytest.raises(ConfigError, match="needs obstore"):
        exporter.open("s3://bucket/orders")


def refused(url: str) -> StorageError:
    with pytest.raises(StorageError) as caught:
        publish(result(Path("orders"), OLD), url)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "Debug source" not in shown, "what the library says is shown as it came"
    assert caught.value.exit_code == 3
    return caught.value


def test_a_bucket_that_does_not_exist(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused("s3://no-bucket/orders")
    assert str(error) == (
        "could not read s3://no-bucket/orders/_current.json: NoSuchBucket: The specified bucket does not exist"
    )
    assert "make the bucket first" in str(error.hint)
    assert main(["verify", "s3://no-bucket/orders", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"] == str(error)


def test_wrong_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket.server.checking_keys("s3:*") as user:
        error = refused(bucket.url)
        assert "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist" in str(error)
        assert "check the credentials" in str(error.hint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", user["AWS_ACCESS_KEY_ID"])
        assert "SignatureDoesNotMatch" in str(refused(bucket.url))
        with pytest.raises(StorageError, match=r"could not list .*: SignatureDoesNotMatch") as caught:
            Storage.at(Location.of(bucket.url)).stored("versions")
        assert "check the credentials" in str(caught.value.hint)


def test_who_may_only_read_can_not_publish_but_open(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(result(Path("orders"), OLD), bucket.url)
    with bucket.server.checking_keys("s3:GetObject", "s3:ListBucket") as reader:
        for name, value in reader.items():
            monkeypatch.setenv(name, value)
        error = refused(f"{bucket.url}/other")
        assert str(error).startswith(f"could not write {bucket.url}/other/versions/")
        assert str(error).endswith(": AccessDenied: Access Denied")
        assert exporter.open(bucket.url).rows == len(exporter.open(bucket.url).to_arrow()) == 60


def test_a_store_that_can_not_be_reached(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> None:
    monkeypatch.setattr(
        "exporter.delivery.publish.storage._options", lambda location: {"retry_config": {"max_retries": 0}}
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:9")
    error = refused(bucket.url)
    assert "could not read" in str(error)
    assert "whether the store can be reached" in str(error.hint)


def test_what_is_far_too_large_is_not_read(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(result(Path("orders"), OLD), bucket.url)
    monkeypatch.setattr("exporter.delivery.publish.storage.MOST_READ", 100)
    with pytest.raises(StorageError, match=r"_current\.json has \d+ bytes: no publisher wrote it"):
        exporter.open(bucket.url)


def test_marks_of_folders_in_a_bucket_are_no_files_of_a_result(bucket: Bucket) -> None:
    made = publish(result(Path("orders"), OLD), bucket.url)
    for key in ("versions/", f"versions/{made.version}/", f"versions/{made.version}"):
        bucket.write(key, b"")
    assert list(verify_at(bucket.url)) == [None]
    bucket.write(f"versions/{made.version}/more/\u202e", b"")
    with pytest.raises(CertificateError, match=r"more/\\u202e is not one of its files"):
        verify_at(bucket.url)


def test_an_object_that_goes_while_it_is_read(bucket: Bucket) -> None:
    made = publish(result(Path("orders"), OLD), bucket.url)
    opened = exporter.open(bucket.url)
    bucket.remove(f"versions/{made.version}/part-00000.parquet")
    with pytest.raises(StorageError, match=r"could not read .*: NoSuchKey"):
        opened.to_arrow()


def test_a_folder_that_can_not_be_one_or_is_in_the_result(tmp_path: Path) -> None:
    orders = result(Path("orders"), OLD)
    (tmp_path / "shared").write_text("a file")
    with pytest.raises(ConfigError, match="can't be used") as caught:
        publish(orders, f"file://{tmp_path}/shared")
    assert caught.value.hint == "check the path, and that folders and files may be made there"
    for inside in ("orders", "orders/published"):
        with pytest.raises(ConfigError, match="holds the files of the result alone"):
            publish(orders, f"file://{tmp_path}/{inside}")
    verify(orders)


@pytest.mark.parametrize("command", [["publish", "orders"], ["verify"], ["diff", "orders"]], ids=lambda one: one[0])
def test_a_command_that_waits_for_a_store_stops_at_once(command: list[str], bucket: Bucket) -> None:
    result(Path("orders"), OLD)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", *command, bucket.url], env=environ, stderr=subprocess.PIPE, text=True
        )
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(4) == b"GET "
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=60)[1].startswith("error: stopped by SIGTERM\n")
    assert process.returncode == 143


@pytest.mark.parametrize("scheme", ["az", "gs"])
def test_settings_of_a_store_that_can_not_be_used_exit_with_2(
    scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "no.json"))
    with pytest.raises(ConfigError, match=f"^{scheme}://box/orders can't be used: "):
        Storage.at(Location.of(f"{scheme}://box/orders"))


def test_the_other_stores_take_their_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    monkeypatch.delenv("GOOGLE_SERVICE_ACCOUNT", raising=False)
    for url in ("az://box/orders", "gs://box"):
        assert str(Storage.at(Location.of(url)).location) == url


def test_what_a_store_says_is_shown_without_secrets_and_escapes() -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": SECRET, "AZURE_STORAGE_ACCOUNT_KEY": ""}

    def words(text: str) -> str:
        return failures.words(OSError(text), environ=environ)

    assert (
        words(f"Generic S3 error: key {SECRET} is \x1b[31mwrong\n\nDebug source:\nmore") == "key *** is \\x1b[31mwrong"
    )
    assert words("<Error><Code>Busy</Code><Message>a &lt; b &amp;\x07</Message>") == "Busy: a < b &\\x07"
    assert (
        words("HEAD https://a.blob.example/c/x?sv=1&sig=abc in 3 ms") == "HEAD https://a.blob.example/c/x?*** in 3 ms"
    )
    error = failures.failure(
        OSError("Error performing PUT http://169.254.169.254/latest/api/token"), doing="read", url="s3://b", environ={}
    )
    assert "AWS_ACCESS_KEY_ID" in str(error.hint)


def test_the_command_says_what_it_did(
    bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result(Path("old"), OLD)
    result(Path("new"), NEW)
    assert main(["publish", "old", bucket.url]) == 0
    told = capsys.readouterr()
    first, pattern = told.out.splitlines()
    assert first.startswith(f"published old at {bucket.url}: 60 orders, 2 files sent, ")
    assert pattern.startswith(f"read it with {bucket.url}/versions/")
    assert [line.partition(" (")[0].rpartition("/")[2] for line in told.err.splitlines()] == [
        "part-00000.parquet",
        "_manifest.json",
    ]
    assert main(["publish", "old", bucket.url]) == 0
    assert "60 orders, all of it was there\n" in capsys.readouterr().out
    assert main(["publish", "new", bucket.url, "--overwrite", "--prune"]) == 0
    assert "deleted 1 older version: " in capsys.readouterr().out
    assert main(["publish", "new", bucket.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": "new",
        **dataclasses.asdict(publish(Path("new"), bucket.url)),
        "pruned": [],
    }
    assert main(["publish", "old", bucket.url, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["verify", bucket.url, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["out"], facts["right"], facts["rows"]) == (bucket.url, True, 60)


def pointer_of(sha256: str) -> Pointer:
    return Pointer(
        version=id_of(sha256), manifest_sha256=sha256, parts=(f"versions/{id_of(sha256)}/part-00000.parquet",)
    )


@given(st.binary(min_size=32, max_size=32))
def test_a_pointer_is_read_as_it_was_written(digest: bytes) -> None:
    pointer = pointer_of(digest.hex())
    assert loads(pointer.dumps(), url="s3://b/_current.json") == pointer
