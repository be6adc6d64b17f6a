"""Let nginx count the refusals: `limit_req` at 20 requests a second, no burst, before the simulator.

    python benchmarks/referee.py [--requests 1000]

nginx's own access log decides, not ours. It is Debian's; where it is missing and we are root, apt-get installs it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from pace import measure

from exporter.simulator.child_process import serving_apart
from exporter.simulator.options import SimulatorOptions

RATE = 20
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    log_format arrivals '$msec $request_time $status';
    access_log {folder}/access.log arrivals;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    limit_req_zone $server_name zone=one:1m rate={rate}r/s;
    limit_req_status 429;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            limit_req zone=one;
            proxy_pass {behind};
        }}
    }}
}}
"""


def nginx() -> str:
    """Return the path of nginx, installing it where that is possible."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    if shutil.which("nginx", path=search) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "nginx"]
        subprocess.run(command, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    found = shutil.which("nginx", path=search)
    if found is None:
        raise SystemExit("nginx is missing: apt-get install nginx")
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def guarding(behind: str, folder: Path) -> Iterator[str]:
    """Run nginx before a server; yield its URL."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, rate=RATE, port=port, behind=behind))
    with subprocess.Popen([nginx(), "-c", str(configuration), "-e", str(folder / "error.log")]) as process:
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def main(requests: int) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker is another user
        with serving_apart(SimulatorOptions(rows=1_000)) as behind, guarding(behind, folder) as url:
            speed, _ = asyncio.run(measure(url, rate=RATE, requests=requests))
        lines = [line.split() for line in (folder / "access.log").read_text().splitlines()]
    statuses = Counter(status for _, _, status in lines)
    arrivals = sorted(float(end) - float(took) for end, took, _ in lines)
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    refused = statuses["429"] / len(lines)
    print(f"nginx limit_req, {RATE} requests a second, no burst; counted by its access log\n")
    print("| requests | served | refused | share refused | share of the allowed rate | least gap ms | mean gap ms |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {len(lines):,} | {statuses['200']:,} | {statuses['429']:,} | {refused:.2%} | {speed / RATE:.2%} "
        f"| {min(gaps) * 1000:.0f} | {sum(gaps) / len(gaps) * 1000:.1f} |"
    )
    return refused <= 0.005 and speed / RATE >= 0.96


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000, help="default 1,000: 50 s")
    raise SystemExit(0 if main(parser.parse_args().requests) else 1)
