"""Measure what TLS and gzip cost, as the real API has them: a server with a certificate of its own, on this machine.

    python benchmarks/tls.py [--rows N] [--teams N] [--rounds N] [--save NAME]

The simulator's application is served by aiohttp, which compresses each response whether it was asked to or
not: from loopback the exporter asks for none. The exporter trusts the certificate by SSL_CERT_FILE, as with a company's
own. One team without a limit shows the cost of a page, many teams at one request a second the cost of connections.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import measure
import report
import teams
from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.simulator import SimulatorOptions
from exporter.simulator.server import make_app

KINDS = ("plain", "gzip", "TLS", "TLS and gzip")


def make_certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 and its key in one file."""
    path = folder / "certificate.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-keyout", str(path), "-out", str(folder / "signed.pem"), "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *made], check=True, capture_output=True)
    with path.open("a") as file:
        file.write((folder / "signed.pem").read_text())
    return path


async def serve(options: SimulatorOptions, certificate: str, *, compressed: bool) -> None:
    """Serve until standard input ends; print the URL when ready."""
    app = make_app(options)
    if compressed:
        app.middlewares.append(compress)
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    print(f"{'https' if certificate else 'http'}://127.0.0.1:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


@web.middleware
async def compress(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    response.enable_compression(web.ContentCoding.gzip)
    return response


@contextmanager
def serving(
    folder: Path, *, kind: str, rows: int, teams_served: int, rate: float
) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve in another process; give the URL and the variables that make its certificate trusted."""
    certificate = str(make_certificate(folder)) if "TLS" in kind else ""
    serve_options = [str(rows), str(teams_served), str(rate), certificate, "gzip" if "gzip" in kind else ""]
    command = [sys.executable, __file__, "--serve", *serve_options]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), {"SSL_CERT_FILE": certificate} if certificate else {}
        finally:
            process.kill()


def measured(kind: str, *, rows: int, number: int, rate: float) -> measure.Measured:
    """Return what an export of all teams of such a server takes."""
    options = SimulatorOptions(rows=rows, teams=number, rate=0 if rate > 1_000 else rate)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder, kind=kind, rows=rows, teams_served=number, rate=options.rate) as (url, trusted):
            command, environ = teams.command_for(folder, url, options, rate=rate)
            return measure.run(command, environment=environ | trusted, log=folder / "log", patience=600)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        rows, number, rate, certificate, compressed = sys.argv[2:]
        served = SimulatorOptions(rows=int(rows), teams=int(number), rate=float(rate))
        asyncio.run(serve(served, certificate, compressed=bool(compressed)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--teams", type=int, default=50)
    parser.add_argument("--team-rows", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.md and .json")
    arguments = parser.parse_args()
    lines, data = [], {}
    for kind in KINDS:
        alone = [measured(kind, rows=arguments.rows, number=1, rate=1e6) for _ in range(arguments.rounds)]
        many = measured(kind, rows=arguments.team_rows, number=arguments.teams, rate=1.0)
        seconds = statistics.median(one.seconds for one in alone)
        cpu = statistics.median(one.cpu_seconds for one in alone) / (arguments.rows / 1e6)
        million = many.cpu_seconds / (arguments.teams * arguments.team_rows / 1e6)
        memory = max(one.memory for one in alone)
        data[kind] = {"seconds": seconds, "cpu_a_million": cpu, "memory": memory, "many_cpu_a_million": million}
        lines.append(
            (
                kind,
                f"{arguments.rows / seconds:,.0f}",
                f"{cpu:.1f}",
                report.megabytes(memory),
                f"{million:.1f}",
                report.megabytes(many.memory),
            )
        )
        print(lines[-1], file=sys.stderr)
    heads = ("", "orders/s", "CPU s a million", "peak memory, MB", "many: CPU s a million", "many: peak memory, MB")
    text = report.table(heads, lines)
    text += (
        f"\nOne team with {arguments.rows:,} orders without a limit, medians of {arguments.rounds} rounds; and "
        f"{arguments.teams} teams with {arguments.team_rows:,} orders at one request a second, once. "
        f"{measure.machine()}.\n"
    )
    print(text)
    if arguments.save:
        report.save(arguments.save, "TLS and gzip", text, data)


if __name__ == "__main__":
    main()
