"""One tree of errors, each with its exit code and a hint.

ExportError
├── ConfigError              bad arguments or settings; nothing was sent         exit 2
├── ApiError                 the API or the network failed for good              exit 3
│   ├── UnauthorizedError    the key was refused
│   └── RejectedError        the API understood the request and said no
├── DiskError                the disk failed; what is committed stays            exit 3
├── StorageError             object storage failed or refused                    exit 3
├── CertificateError         the data could not be certified                     exit 4
└── OutputError              OUT belongs to another query, team, run or result   exit 5
"""

from __future__ import annotations

from typing import Any


class ExportError(Exception):
    """Why the exporter can't continue; `hint`, also a note of the exception, says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")  # tracebacks show it, in a notebook too

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class ConfigError(ExportError):
    """Arguments, settings or an OUT that can't be used. Nothing was sent."""

    exit_code = 2


class ApiError(ExportError):
    """The API or the network failed for good. What is committed stays; the same command resumes."""

    exit_code = 3


class UnauthorizedError(ApiError):
    """The API refused the key (envelope code or HTTP status 401); asking again can't help."""


class RejectedError(ApiError):
    """The API understood one request and refused it: its `code` and `text` are as they came."""

    def __init__(self, message: str, *, code: int, text: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.text = text


class DiskError(ExportError):
    """The disk is full, read-only, gone or broken. What is committed stays; the same command resumes."""

    exit_code = 3


class StorageError(ExportError):
    """Object storage refused, failed or could not be reached. What it has stays; the same command resumes."""

    exit_code = 3


class CertificateError(ExportError):
    """Some of the data could not be certified; the message names the spans."""

    exit_code = 4


class OutputError(ExportError):
    """OUT belongs to another query, another team or another running export, or holds a finished result."""

    exit_code = 5


class InUseError(OutputError):
    """Another running export holds the lock of OUT's work folder; the message names it."""


def _restored(kind: type[ExportError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> ExportError:
    """Return an error as it was in the process that it comes from."""
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(facts)
    return error
