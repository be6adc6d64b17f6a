"""Build wheel and sdist of the last commit, check them, and leave them in dist/: `make release`.

Both are built twice from checkouts of their own and must have the same bytes: every time in them is the commit's, as
`SOURCE_DATE_EPOCH` says. Nothing is published here: `.github/workflows/release.yml` does that for a tag.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parents[1]
RUNTIME = ROOT / "benchmarks" / "requirements" / "exporter.txt"
"""What the package needs to run, pinned with hashes."""
GENERATED = re.compile(r"PKG-INFO|setup\.cfg|[\w.]+\.egg-info/[\w.-]+")
"""What setuptools adds to an sdist."""


class ReleaseError(Exception):
    """What keeps this commit from being released."""


def declared_version(folder: Path = ROOT) -> str:
    """Return the version that pyproject.toml declares."""
    version: str = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def check_version(version: str, changelog: str, tag: str | None) -> None:
    """Raise ReleaseError unless the changelog's top version, with its date, and the tag are those of the package."""
    top = re.search(r"^## \[([^]]+)\](?: - (\S+))?$", changelog, re.MULTILINE)
    if top is None or top[1] != version:
        raise ReleaseError(f"the package is {version}, the top of CHANGELOG.md is {top and top[1]}")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", top[2] or ""):
        raise ReleaseError(f"version {version} has no date in CHANGELOG.md: ## [{version}] - YYYY-MM-DD")
    if tag is not None and tag != f"v{version}":
        raise ReleaseError(f"the tag is {tag}, the package is {version}: the tag must be v{version}")


def check_metadata(content: bytes, readme: str, version: str) -> None:
    """Raise ReleaseError, or what `packaging` raises, unless an index would take the metadata and show the README."""
    metadata = Metadata.from_email(content)  # it validates every field
    if str(metadata.version) != version:
        raise ReleaseError(f"the metadata say version {metadata.version}, not {version}")
    if metadata.description_content_type != "text/markdown" or (metadata.description or "").strip() != readme.strip():
        raise ReleaseError("the long description is not README.md as Markdown")


def check_sdist(names: set[str], tracked: set[str]) -> None:
    """Raise ReleaseError unless an sdist has the whole package, what describes it, and only what git knows."""
    if junk := sorted(name for name in names - tracked if not GENERATED.fullmatch(name)):
        raise ReleaseError(f"the sdist has what the commit has not: {', '.join(junk)}")
    wanted = {name for name in tracked if name.partition("/")[0] in {"exporter", "tests", "docs"}}
    wanted |= {"LICENSE", "README.md", "README.zh-CN.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO"}
    if missing := sorted(wanted - names):
        raise ReleaseError(f"the sdist lacks {', '.join(missing)}")


def check_wheel(names: set[str], tracked: set[str]) -> None:
    """Raise ReleaseError unless a wheel has every file of the package, the licence, and nothing else."""
    described = {name for name in names if ".dist-info/" in name}
    package = {name for name in tracked if name.startswith("exporter/")}
    if wrong := sorted((names - described) ^ package):
        raise ReleaseError(f"the wheel and the package differ in {', '.join(wrong)}")
    if not any(name.endswith("/licenses/LICENSE") for name in described):
        raise ReleaseError("the wheel has no licence")


def normalized(sdist: bytes, moment: int) -> bytes:
    """Return an sdist whose entries are sorted and have one time, one owner and one mode: setuptools sees to none."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sdist)) as old,
        gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=moment) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for entry in sorted(old.getmembers(), key=lambda member: member.name):
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = moment, 0, 0, "", ""
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            entry.pax_headers = {}
            new.addfile(entry, old.extractfile(entry) if entry.isfile() else None)
    return packed.getvalue()


def build(folder: Path, moment: int) -> list[Path]:
    """Check the last commit out into a folder, build the sdist from it and the wheel from that; return both."""
    checkout, dist, unpacked = folder / "checkout", folder / "dist", folder / "unpacked"
    checkout.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "HEAD"))) as archive:
        archive.extractall(checkout, filter="data")
    _build("--sdist", checkout, dist, moment)
    (sdist,) = dist.iterdir()
    sdist.write_bytes(normalized(sdist.read_bytes(), moment))
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    _build("--wheel", source, dist, moment)
    return sorted(dist.iterdir())


def _build(kind: str, source: Path, dist: Path, moment: int) -> None:
    command = [sys.executable, "-W", "error", "-m", "build", "--no-isolation", kind, "--outdir", str(dist), str(source)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(moment)},
    )
    if done.returncode:
        raise ReleaseError(f"the build failed:\n{done.stdout}{done.stderr}")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def check_files(wheel: Path, sdist: Path, version: str) -> None:
    """Check metadata and content of both; raise ReleaseError."""
    tracked = set(_git("ls-tree", "-r", "--name-only", "-z", "HEAD").decode().strip("\0").split("\0"))
    readme = _git("show", "HEAD:README.md").decode()
    with zipfile.ZipFile(wheel) as unzipped:
        check_wheel(set(unzipped.namelist()), tracked)
        (metadata,) = (name for name in unzipped.namelist() if name.endswith(".dist-info/METADATA"))
        check_metadata(unzipped.read(metadata), readme, version)
    with tarfile.open(sdist) as archive:
        files = {entry.name.partition("/")[2]: entry for entry in archive.getmembers() if entry.isfile()}
        check_sdist(set(files), tracked)
        content = archive.extractfile(files["PKG-INFO"])
        assert content is not None
        check_metadata(content.read(), readme, version)


def check_installed(wheel: Path, folder: Path, version: str) -> None:
    """Install a wheel with what it needs into a new environment; raise ReleaseError unless its command runs."""
    venv.create(folder, with_pip=True)
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--require-hashes", "-r", RUNTIME], check=True, stderr=subprocess.PIPE, env=alone)
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True, env=alone)
    command: list[str | Path] = [folder / "bin" / "exporter", "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=alone).stdout.strip()
    if said != version:
        raise ReleaseError(f"the installed command says version {said}, not {version}")


def release(dist: Path, tag: str | None) -> None:
    """Build, check and put into `dist` what a tag publishes; raise ReleaseError."""
    version = declared_version()
    check_version(version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tag)
    if changed := _git("status", "--porcelain").decode():
        print(f"note: the last commit is built, without these changes:\n{changed}", file=sys.stderr)
    moment = int(_git("log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first, second = build(folder / "first", moment), build(folder / "second", moment)
        for one, other in zip(first, second, strict=True):
            if one.read_bytes() != other.read_bytes():
                raise ReleaseError(f"{one.name} was built twice and has other bytes the second time")
        wheel, sdist = first
        check_files(wheel, sdist, version)
        check_installed(wheel, folder / "installed", version)
        shutil.rmtree(dist, ignore_errors=True)
        shutil.copytree(wheel.parent, dist)
    for file in sorted(dist.iterdir()):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}")


if __name__ == "__main__":
    try:
        release(Path("dist"), os.environ.get("TAG") or None)
    except ReleaseError as error:
        sys.exit(f"error: {error}")
