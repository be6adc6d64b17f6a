"""An S3 server that the tests of publishing share, and places to publish at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.places import Bucket, Folder, Place
from tests.delivery.s3_server import S3Server, serving_s3


@pytest.fixture(scope="package")
def s3() -> Iterator[S3Server]:
    with serving_s3() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    return Bucket(s3)


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    found: Place = request.getfixturevalue("bucket") if request.param == "bucket" else Folder(tmp_path / "shared")
    return found
