"""A path that can't be used is a wrong argument of any command: exit 2 with a hint, and never a bug of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.cli import main
from tests.store.test_diff import OLD, result

TEAMS = """
base-url = "http://127.0.0.1:9"
[teams.berlin]
api-key-env = "DUOPLUS_API_KEY"
"""
LONG = "n" * 300
READING = ["status", "verify", "update", "report", "convert", "diff", "publish"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EXPORTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DUOPLUS_API_KEY", "a-key-of-16-signs")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("teams.toml").write_text(TEAMS, encoding="utf-8")
    result(Path("old"), OLD)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    return Refused(capsys, tmp_path)


class Refused:
    """Runs a command that is to be refused; gives what it says, and sees that nothing was made anywhere."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys, self._folder = capsys, folder

    def __call__(self, *tokens: str) -> str:
        before = set(self._folder.rglob("*"))
        assert main([*tokens]) == 2
        told = self._capsys.readouterr()
        assert told.out == ""
        lines = told.err.splitlines()
        assert [line.partition(":")[0] for line in lines if not line.startswith("cause")] == ["error", "hint"]
        assert "please report" not in told.err
        assert "Path(" not in told.err
        assert set(self._folder.rglob("*")) == before
        return told.err


def tokens_of(command: str, out: str) -> list[str]:
    more = {"convert": ["orders.csv"], "diff": ["old"], "publish": ["file:///nowhere"], "demo": []}
    return [command, out, *more.get(command, [])]


@pytest.mark.parametrize("command", ["run", "demo", *READING])
@pytest.mark.parametrize("out", [LONG, "nu\0ll", "/"])
def test_a_path_that_no_result_can_have_is_refused_by_all_commands(command: str, out: str, refused: Refused) -> None:
    refused(*tokens_of(command, out))


@pytest.mark.parametrize("command", ["run", "demo", "status", "update", "report", "convert", "publish"])
def test_an_address_is_refused_where_a_path_is_needed_and_shown_as_it_was_given(command: str, refused: Refused) -> None:
    assert refused(*tokens_of(command, "s3://bucket/orders")).startswith("error: s3://bucket/orders is an address")


@pytest.mark.parametrize(
    "out", ["", ".", "..", "/", LONG, "s3://bucket/x", "a.csv", "a.json", "a.PARQUET", ".parquet", "/dev/null/orders"]
)
@pytest.mark.parametrize("command", ["run", "update"])
def test_an_out_of_teams_is_refused_like_any_other(command: str, out: str, refused: Refused) -> None:
    refused(command, out, "--config", "teams.toml")


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("denied", ["stat", "read_bytes"])
def test_a_result_that_this_user_may_not_read_is_no_bug(
    command: str, denied: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the system's refusal is made here."""
    allowed = getattr(Path, denied)

    def deny(path: Path, **more: bool) -> object:
        if path.name in {"_manifest.json", "_teams.json"}:
            raise PermissionError(13, "Permission denied", str(path))
        return allowed(path, **more)

    monkeypatch.setattr(Path, denied, deny)
    if denied == "read_bytes" and command in {"status", "verify", "publish"}:
        exits = {"status": 5, "verify": 3, "publish": 3}
        assert main(tokens_of(command, "old")) == exits[command]
        told = refused._capsys.readouterr().err
        assert "Permission denied" in told
        assert "[Errno" not in told
        assert "make this folder writable" not in told
    else:
        assert "Permission denied" in refused(*tokens_of(command, "old"))


@pytest.mark.parametrize(
    "command",
    [
        ["convert", "old", "{}.csv"],
        ["diff", "old", "old", "--output", "{}.csv"],
        ["report", "old", "--output", "{}.html"],
        ["update", "old", "--changes", "{}.csv"],
    ],
)
def test_a_file_that_can_not_be_written_is_refused_before_anything_is_done(
    command: list[str], refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokens(name: str) -> list[str]:
        return [token.format(name) for token in command]

    for name in (LONG, "n" * 246, "nu\0ll"):
        assert "can't be used as FILE" in refused(*tokens(name))
    assert "there is no folder" in refused(*tokens("nowhere/orders"))
    refused(*tokens(""))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert f"nothing may be written to {Path.cwd()}" in refused(*tokens("orders"))


def test_a_folder_of_teams_that_this_user_may_not_write_to_is_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "nothing may be written to out" in refused("run", "out", "--config", "teams.toml")


@pytest.mark.parametrize("command", ["run", "demo", *READING])
def test_a_deleted_working_directory_is_named_by_all_commands(command: str, refused: Refused) -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").resolve().rmdir()
    assert "the current directory was deleted" in refused(*tokens_of(command, "orders"))


def test_what_is_in_the_way_of_a_work_folder_is_not_blamed_on_the_disk(refused: Refused) -> None:
    Path("file").touch()
    told = refused("run", "file/orders")
    assert told.splitlines()[-1] == "hint: choose another OUT"


def test_an_ending_may_be_in_capitals_but_is_no_name(refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is an ending without a name" in refused("convert", "old", ".csv")
    assert main(["convert", "old", "ORDERS.CSV"]) == 0
    assert Path("ORDERS.CSV").read_text(encoding="utf-8").count("\n") == 61
