"""`exporter --install-completion`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from exporter.cli.app import app
from exporter.errors import ConfigError

STARTUP = {"bash": ".bashrc", "zsh": ".zshrc"}
"""The file of each shell that cyclopts adds a line to; fish finds its completions without one."""

COMPINIT = ", if `autoload -Uz compinit && compinit` comes after that line"
"""What zsh reads completions by; what sets a shell up often runs it, and before that line it is too early."""


@app.command(name="--install-completion")
def install_completion(
    *,
    shell: Annotated[
        Literal["bash", "zsh", "fish"] | None,
        Parameter(help="Shell to install it for. [default: the one that runs this]"),
    ] = None,
) -> int:
    """Install completion for bash, zsh or fish: writes a script, and a line into the shell's startup file."""
    from cyclopts.completion.detect import ShellDetectionError, detect_shell

    startup = {file: _content(file) for file in map(Path.home().joinpath, STARTUP.values())}
    try:
        found = shell or detect_shell()
        path = app.install_completion(shell=found)
    except (OSError, ShellDetectionError) as error:
        raise ConfigError(f"completion can't be installed: {error}", hint="name the shell with --shell") from error
    print(f"wrote {path}")
    for file, before in startup.items():
        if _content(file) != before:
            print(f"added a line to {file} that loads it")
    print(f"completion works in the next shell{COMPINIT if found == 'zsh' else ''}")
    return 0


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
