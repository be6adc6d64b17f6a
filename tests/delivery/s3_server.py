"""An S3 server in a process of its own: it knows conditional writes, checksums, multipart uploads and policies."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3

BUCKET = "bucket"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "the/secret+key-of-nobody-7f3a91"

_PROGRAM = """
import os, sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
"""


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A server at `url` with one bucket."""

    url: str

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which obstore finds it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    @cache  # noqa: B019  # it takes a while to make one
    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def objects(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        """Return what the server says of each object below a prefix, by its key without the prefix."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        return {one["Key"].removeprefix(f"{prefix}/"): one for page in pages for one in page.get("Contents", [])}

    @contextmanager
    def checking_keys(self, *allowed: str) -> Iterator[dict[str, str]]:
        """Let the server check keys and policies; give the variables of a user who may do what is allowed."""
        iam = self.client("iam")
        user = f"user-{len(iam.list_users()['Users'])}"
        iam.create_user(UserName=user)
        policy = {"Statement": [{"Effect": "Allow", "Action": list(allowed), "Resource": "*"}], "Version": "2012-10-17"}
        iam.put_user_policy(UserName=user, PolicyName="allowed", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=user)["AccessKey"]
        self._check_after("0")
        try:
            yield {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
        finally:
            self._check_after("inf")

    def _check_after(self, requests: str) -> None:
        urllib.request.urlopen(
            urllib.request.Request(
                f"{self.url}/moto-api/reset-auth",
                data=requests.encode(),
                method="POST",
                headers={"Content-Type": "text/plain"},
            )
        ).close()


@contextmanager
def serving_s3() -> Iterator[S3Server]:
    """Start a server with an empty bucket; stop it at the end, even if killed."""
    command = [sys.executable, "-c", _PROGRAM]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=nothing) as process:
        try:
            assert process.stdout is not None
            server = S3Server(url=f"http://127.0.0.1:{int(process.stdout.readline())}")
            server.client().create_bucket(Bucket=BUCKET)
            yield server
        finally:
            process.terminate()
