"""Where results are published in tests: a part of a bucket, or a folder."""

from __future__ import annotations

import uuid
from pathlib import Path

from tests.delivery.s3_server import BUCKET, S3Server


class Bucket:
    """A place in object storage of its own for each test."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.prefix = f"test-{uuid.uuid4()}/orders"
        self.url = f"s3://{BUCKET}/{self.prefix}"

    def names(self) -> set[str]:
        return set(self.server.objects(self.prefix))

    def read(self, key: str) -> bytes:
        content: bytes = self.server.client().get_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self.server.client().put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=content)

    def remove(self, key: str) -> None:
        self.server.client().delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")


class Folder:
    """A folder that readers share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"file://{path}"

    def names(self) -> set[str]:
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*") if not path.is_dir()}

    def read(self, key: str) -> bytes:
        return (self.path / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        (self.path / key).parent.mkdir(exist_ok=True)
        (self.path / key).write_bytes(content)

    def remove(self, key: str) -> None:
        (self.path / key).unlink()


Place = Bucket | Folder
