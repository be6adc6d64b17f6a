"""Where results are published: `s3://`, `gs://`, `az://` with a bucket, or `file:///`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from exporter.errors import ConfigError
from exporter.vendor.foreign_text import shown, without_credentials

FILE = "file"
SCHEMES = ("s3", "gs", "az", FILE)

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SPECIAL = frozenset("*[]{}\\%")
"""What readers take for a pattern or an escape."""


def is_url(out: object) -> bool:
    """Return whether an OUT is an address, not a path."""
    return isinstance(out, str) and _URL.match(out) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A place below which one result is published; its text is its URL, without a slash at the end.

    `prefix` is the path in the bucket, and of `file` the path on this machine without its first slash.
    """

    scheme: str
    bucket: str
    prefix: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the location that a URL names; raise ConfigError, which shows no secret, for one that can't be used.

        The cases: no URL; an unknown scheme; a name, a password or a query in it, which hold secrets; no bucket, or a
        host where none can be; a path with empty or dotted steps, or with what readers take for a pattern.
        """
        address, found = shown(without_credentials(url)), _URL.fullmatch(url)
        if found is None or found["scheme"].lower() not in SCHEMES:
            raise ConfigError(
                f"{address} is no address that a result can be published at",
                hint=f"it begins with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}",
            )
        scheme, host, path = found["scheme"].lower(), found["host"], found["path"]
        if found["rest"] or (scheme != FILE and "@" in url):
            raise ConfigError(
                f"{address} holds more than a bucket and a path",
                hint="credentials come from the environment, such as AWS_ACCESS_KEY_ID, never from the address",
            )
        if scheme == FILE:
            path = unquote(path)
            if host or not path.strip("/"):
                raise ConfigError(f"{address} names no folder of this machine", hint="for example file:///srv/orders")
        elif not _BUCKET.fullmatch(host):
            raise ConfigError(f"{address} names no bucket", hint=f"for example {scheme}://bucket/orders")
        _check_path(path, address, special=frozenset() if scheme == FILE else _SPECIAL)
        return cls(scheme=scheme, bucket=host, prefix=path.strip("/"))

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on this machine."""
        return self.scheme == FILE

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    def url(self, key: str) -> str:
        """Return the URL of an object below."""
        return f"{self}/{key}"

    def path(self, key: str = "") -> Path:
        """Return where an object is on this machine; in object storage, its path behind the scheme."""
        return Path("/", self.prefix, key) if self.is_local else Path(self.bucket, self.prefix, key)


def _check_path(path: str, address: str, *, special: frozenset[str]) -> None:
    """Raise ConfigError for a path that stores or readers would take for another one."""
    steps = path.removeprefix("/").removesuffix("/").split("/") if path.strip("/") else []
    if any(step in {"", ".", ".."} for step in steps):
        raise ConfigError(f"{address} has an empty or dotted step in its path", hint="write the path plainly")
    if wrong := sorted({character for character in path if character in special or not character.isprintable()}):
        raise ConfigError(
            f"{address} has {shown(' '.join(wrong))} in its path, which readers take for something else",
            hint="choose a path of letters, digits and - _ . =",
        )
