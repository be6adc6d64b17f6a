"""Run this exporter's command as a user does, with a rate that no server here reaches."""

from __future__ import annotations

import os
import sys

from endpoint import END, START, arguments

from exporter.cli import entry


def main() -> None:
    url, out = arguments()
    options = ["--base-url", url, "--start", START, "--end", END, "--rate", "1000000", "--quiet"]
    sys.argv[1:] = ["run", str(out / "orders"), *options, *extra()]
    entry()


def extra() -> list[str]:
    """Return further options, for tables that vary one of them."""
    return os.environ.get("EXPORTER_RUN_OPTIONS", "").split()


if __name__ == "__main__":
    main()
