"""An OUT that is hardly meant, or can't be used, is refused before anything is written: exit 2, never a bug."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.errors import ConfigError
from exporter.store import Store, status
from tests.store.orders import open_out, whole


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def refused(out: str) -> ConfigError:
    here = Path.cwd()
    with pytest.raises(ConfigError) as caught:
        open_out(Path(out), whole(60))
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert not list(here.glob(".*.exporter"))
    return caught.value


@pytest.mark.parametrize("out", ["", ".", "..", "../here", "/", "deep/.."])
def test_the_current_directory_and_those_it_is_in_are_refused(out: str) -> None:
    Path("deep").mkdir()
    assert "current directory" in str(refused(out))


@pytest.mark.parametrize("out", ["s3://bucket/orders", "gs://bucket/orders", "https://host/orders", "file:///orders"])
def test_an_address_is_refused(out: str) -> None:
    assert "is an address" in str(refused(out))


@pytest.mark.parametrize("name", ["orders.csv", "orders.xlsx", "orders.json", "orders.duckdb", "ORDERS.CSV"])
def test_the_suffix_of_another_format_is_refused(name: str) -> None:
    error = refused(name)
    assert "another format" in str(error)
    assert ("exporter convert" in str(error.hint)) == name.lower().endswith((".csv", ".xlsx"))


@pytest.mark.parametrize("name", ["orders.PARQUET", ".parquet", "deep/.parquet", ".PARQUET"])
def test_half_a_parquet_name_is_refused(name: str) -> None:
    assert "ends in .parquet" in str(refused(name).hint)


@pytest.mark.parametrize("name", ["n" * 300, "n" * 250, "n" * 300 + ".parquet", "nu\0ll"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    refused(name)


def test_a_loop_of_links_is_refused() -> None:
    Path("one").symlink_to("two")
    Path("two").symlink_to("one")
    refused("one")


def test_a_deleted_working_directory_is_named() -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").resolve().rmdir()
    with pytest.raises(ConfigError, match="can't be used as OUT: No such file"):
        open_out(Path("orders"), whole(60))
    with pytest.raises(ConfigError, match="can't be used as OUT"):
        status(Path("orders"))


def test_no_permission_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the system's refusal is made here."""
    Path("orders").mkdir()

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "Permission denied" in str(refused("orders"))


@pytest.mark.parametrize("name", ["orders", "orders.parquet", "orders.v2", "orders.old.parquet", "./orders", "a b"])
def test_other_names_are_taken(name: str) -> None:
    store = open_out(Path(name), whole(60))
    assert isinstance(store, Store)
    store.close()
