"""Report what object storage refused or failed at, in its own words and without secrets. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from exporter.errors import StorageError
from exporter.vendor.foreign_text import shown, without_credentials
from exporter.vendor.secret import Secret

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
"""The variables from which obstore takes what nobody else may see."""

_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_DENIED = re.compile(r"status code: 40[13]\b|Permission denied")
_PREFIX = re.compile(r"^Generic [\w-]+ error: ")
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
_METADATA_HOSTS = ("169.254.169.254", "metadata.google.internal", "metadata/identity")

_RIGHTS = "check the credentials in the environment, and that they may list, read, write and delete below this address"
_BUCKET = "make the bucket first, or check its name, its region (AWS_REGION) and the endpoint (AWS_ENDPOINT_URL)"
_CREDENTIALS = "set the store's credentials in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_AGAIN = "see whether the store can be reached, then run the same command again: what it has whole is not sent again"


def says_no_bucket(error: BaseException) -> bool:
    """Return whether the store says that there is no such bucket, not only no such object."""
    return _code(str(error)) in _NO_BUCKET


def failure(error: BaseException, *, doing: str, url: str, environ: Mapping[str, str]) -> StorageError:
    """Return the error that reports what a store's library raised; `doing` is a verb such as `read`."""
    return StorageError(f"could not {doing} {url}: {words(error, environ=environ)}", hint=_hint(error))


def words(error: BaseException, *, environ: Mapping[str, str]) -> str:
    """Return the store's own words: code and message of its response, or the first line of what the library says."""
    text = str(error).partition("\n\nDebug source")[0]
    parts = [html.unescape(found[1]) for found in (_CODE.search(text), _MESSAGE.search(text)) if found]
    said = without_credentials(": ".join(parts) if parts else _PREFIX.sub("", text).strip())
    for name in SECRETS:
        if secret := environ.get(name):
            said = shown(said, Secret(secret))
    return shown(said)


def _hint(error: BaseException) -> str:
    """Return what to do about a failure. The cases: no bucket, no credentials, no rights, anything else."""
    text = str(error)
    if says_no_bucket(error):
        return _BUCKET
    if any(host in text for host in _METADATA_HOSTS):  # asked for credentials only where none are set
        return _CREDENTIALS
    return _RIGHTS if isinstance(error, PermissionError) or _DENIED.search(text) else _AGAIN


def _code(text: str) -> str | None:
    found = _CODE.search(text)
    return found[1] if found else None
