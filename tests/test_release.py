"""A release is one tag away: versions agree, and `make release` refuses what should not be published."""

from __future__ import annotations

import io
import re
import tarfile

import pytest

import exporter
from tests.release import (
    ROOT,
    ReleaseError,
    check_metadata,
    check_sdist,
    check_version,
    check_wheel,
    declared_version,
    normalized,
)

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
METADATA = b"""\
Metadata-Version: 2.4
Name: duoplus-exporter
Version: 1.2.3
Description-Content-Type: text/markdown

# exporter
"""
PACKAGE = {"exporter/__init__.py", "exporter/py.typed", "exporter/delivery/report/page.html"}
DESCRIBED = {"LICENSE", "README.md", "README.zh-CN.md", "CHANGELOG.md", "pyproject.toml"}


def test_package_changelog_and_installed_version_are_one() -> None:
    version = declared_version()
    check_version(version, CHANGELOG, f"v{version}")
    assert exporter.__version__ == version


def test_the_version_is_the_only_name_that_is_looked_up() -> None:
    with pytest.raises(AttributeError, match="no attribute 'version'"):
        _ = exporter.version  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changelog", "tag", "said"),
    [
        ("## [1.2.2] - 2026-01-02\n", None, "the top of CHANGELOG.md is 1.2.2"),
        ("## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n", None, "the top of CHANGELOG.md is Unreleased"),
        ("no heading\n", None, "the top of CHANGELOG.md is None"),
        ("## [1.2.3] - Unreleased\n", None, "has no date"),
        ("## [1.2.3]\n", None, "has no date"),
        ("## [1.2.3] - 2026-01-02\n", "v1.2.4", "the tag must be v1.2.3"),
        ("## [1.2.3] - 2026-01-02\n", "1.2.3", "the tag must be v1.2.3"),
    ],
)
def test_another_changelog_or_tag_is_refused(changelog: str, tag: str | None, said: str) -> None:
    with pytest.raises(ReleaseError, match=re.escape(said)):
        check_version("1.2.3", changelog, tag)


def test_metadata_that_an_index_would_refuse_are_refused() -> None:
    check_metadata(METADATA, "# exporter\n", "1.2.3")
    with pytest.raises(ReleaseError, match=r"say version 1\.2\.3, not 1\.2\.4"):
        check_metadata(METADATA, "# exporter\n", "1.2.4")
    with pytest.raises(ReleaseError, match=r"not README\.md as Markdown"):
        check_metadata(METADATA, "# another\n", "1.2.3")
    with pytest.raises(ReleaseError, match=r"not README\.md as Markdown"):
        check_metadata(METADATA.replace(b"markdown", b"plain"), "# exporter\n", "1.2.3")
    with pytest.raises(ExceptionGroup, match="metadata"):
        check_metadata(METADATA.replace(b"Name: duoplus-exporter\n", b""), "# exporter\n", "1.2.3")


def test_a_wheel_without_a_file_or_with_another_is_refused() -> None:
    whole = PACKAGE | {"e-1.dist-info/METADATA", "e-1.dist-info/licenses/LICENSE"}
    check_wheel(whole, PACKAGE | DESCRIBED)
    for missing in PACKAGE:
        with pytest.raises(ReleaseError, match=missing):
            check_wheel(whole - {missing}, PACKAGE)
    with pytest.raises(ReleaseError, match=r"tests/conftest\.py"):
        check_wheel(whole | {"tests/conftest.py"}, PACKAGE)
    with pytest.raises(ReleaseError, match="no licence"):
        check_wheel(whole - {"e-1.dist-info/licenses/LICENSE"}, PACKAGE)


def test_an_sdist_without_a_file_or_with_junk_is_refused() -> None:
    tracked = PACKAGE | DESCRIBED
    whole = tracked | {"PKG-INFO", "setup.cfg", "duoplus_exporter.egg-info/SOURCES.txt"}
    check_sdist(whole, tracked | {"benchmarks/compare.py"})
    with pytest.raises(ReleaseError, match=r"lacks README\.zh-CN\.md"):
        check_sdist(whole - {"README.zh-CN.md"}, tracked)
    with pytest.raises(ReleaseError, match=r"has not: exporter/__pycache__/api\.pyc"):
        check_sdist(whole | {"exporter/__pycache__/api.pyc"}, tracked)


def sdist(*, moment: int, owner: str, names: list[str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uname, entry.mode = len(name), moment, owner, 0o600 if moment else 0o664
            archive.addfile(entry, io.BytesIO(name.encode()))
    return packed.getvalue()


def test_an_sdist_has_the_same_bytes_whoever_builds_it_and_when() -> None:
    one = sdist(moment=5, owner="ada", names=["e-1/b", "e-1/a"])
    other = sdist(moment=0, owner="bob", names=["e-1/a", "e-1/b"])
    assert one != other
    assert normalized(one, 1_000_000) == normalized(other, 1_000_000)
    with tarfile.open(fileobj=io.BytesIO(normalized(one, 1_000_000))) as archive:
        shown = [(entry.name, entry.mtime, entry.mode, entry.uname) for entry in archive]
        content = archive.extractfile("e-1/b")
        assert content is not None
        assert content.read() == b"e-1/b"
    assert shown == [("e-1/a", 1_000_000, 0o644, ""), ("e-1/b", 1_000_000, 0o644, "")]


def test_a_tag_is_checked_before_it_is_published_without_a_password() -> None:
    build, publish = WORKFLOW.split("\n  publish:\n")
    assert 'tags: ["v*"]' in build
    assert re.search(r'make release .*TAG="\$GITHUB_REF_NAME"', build)
    assert "needs: build" in publish
    assert "environment: release" in publish
    assert "uses: pypa/gh-action-pypi-publish@" in publish
    assert "id-token: write" in publish
    assert "id-token" not in build
    assert not re.search(r"password:|secrets\.|https?://", WORKFLOW)
