"""Pipe the Singer tap in this folder into the Parquet target in it, as Singer's specification has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from endpoint import arguments


def main() -> None:
    url, out = arguments()
    os.environ.update(TAP_ORDERS_URL=url, TARGET_PARQUET_FOLDER=str(out), LOGLEVEL="WARNING")
    here = Path(__file__).parent
    tap = [sys.executable, str(here / "singer_tap.py"), "--config=ENV"]
    target = [sys.executable, str(here / "singer_target.py"), "--config=ENV"]
    with subprocess.Popen(tap, stdout=subprocess.PIPE) as reading:
        subprocess.run(target, stdin=reading.stdout, check=True)
    sys.exit(reading.returncode)


if __name__ == "__main__":
    main()
