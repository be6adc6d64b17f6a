"""Say what of a team's settings travels to another process: all but the key, and where the key is found there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from exporter.config.options import Settings
from exporter.config.sources import checked_key, reason
from exporter.errors import ConfigError
from exporter.vendor.secret import Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySource:
    """Where a key is found: in a variable, or in a file."""

    variable: str | None = None
    file: Path | None = None

    def __str__(self) -> str:
        return f"the variable {self.variable}" if self.variable is not None else str(self.file)

    def read(self, environ: Mapping[str, str]) -> Secret:
        """Return the key; raise ConfigError that says where it was looked for."""
        if self.file is not None:
            try:
                found = self.file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the key in {self} can't be read: {reason(error)}", hint=HINT) from error
        else:
            found = environ.get(self.variable or "", "").strip()
        if not found:
            raise ConfigError(f"there is no API key in {self}", hint=HINT)
        return checked_key(found, str(self))


HINT = "each machine that works on a team needs its key: in the variable, or in a file of this path"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyless:
    """The settings of a team without its key."""

    values: Mapping[str, Any]
    key: KeySource

    @classmethod
    def of(cls, settings: Settings, key: KeySource) -> Self:
        """Take the key out of a team's settings."""
        values = {one.name: getattr(settings, one.name) for one in fields(settings) if one.name != "api_key"}
        return cls(values=values, key=key)

    def with_key(self, environ: Mapping[str, str], **changes: Any) -> Settings:
        """Return the settings with the key as it is found here; raise ConfigError if it is not."""
        return Settings(**{**self.values, **changes}, api_key=self.key.read(environ))


def check_sources(teams: Mapping[str, Keyless]) -> None:
    """Raise ConfigError if two teams take their key from one place: they would be one team."""
    seen: dict[tuple[str, KeySource], str] = {}
    for name, team in teams.items():
        other = seen.setdefault((team.values["base_url"], team.key), name)
        if other != name:
            raise ConfigError(
                f"teams {other} and {name} have the same key, {team.key}", hint="a team has one key, a key one team"
            )
