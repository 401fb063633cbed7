"""The README names the deviations and what is not declared, as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from storagedriver_fsspec.harness import LocalHarness, MemoryHarness, SftpHarness, WebdavHarness
from storagedriver_testsuite import DriverSuite, Harness, Kit

README = Path(__file__).parents[1] / "README.md"


def harnesses(directory: Path) -> dict[str, Harness]:
    options = {"base_url": "http://127.0.0.1", "auth": ["user", "password"]}
    return {
        "file": LocalHarness(directory),
        "memory": MemoryHarness(directory),
        "sftp": SftpHarness(directory, {"protocol": "sftp", "options": {"host": "127.0.0.1"}}),
        "webdav": WebdavHarness(directory, {"protocol": "webdav", "options": options}),
    }


@pytest.mark.parametrize("protocol", ["file", "memory", "sftp", "webdav"])
def test_readme_names_what_does_not_run_on_a_protocol(protocol: str, tmp_path: Path) -> None:
    reasons = DriverSuite().not_declared(Kit(harnesses(tmp_path)[protocol]))
    table = README.read_text().partition("do not run")[2]
    everywhere, own = not_run(table, "every protocol"), not_run(table, protocol)
    assert not everywhere & own
    assert everywhere | own == set(reasons)


def not_run(text: str, protocol: str) -> set[str]:
    rows = re.findall(rf"^\| {protocol} \| ([^|]+) \|", text, re.MULTILINE)
    return set(re.findall(r"[A-Z]\d\d", " ".join(rows)))


def test_readme_tells_what_writing_costs_on_webdav() -> None:
    extra = WebdavHarness.extra_requests
    text = README.read_text()
    assert f"| put of a new object | {1 + extra.put} |" in text
    assert f"| put over another | {1 + extra.replace} |" in text
    assert f"| upload of n parts | {1 + extra.part} n + {2 + extra.commit} |" in text


def test_readme_names_every_deviation() -> None:
    # The classes of the suite are read as text: importing them would run them here as well.
    source = Path(__file__).with_name("test_conformance.py").read_text()
    source = source[source.index("WEBDAV = {") :]
    named = set(re.findall(r'"([A-Z]\d\d)"', source))
    text = README.read_text().partition("with these deviations")[2].partition("do not run")[0]
    rows = re.findall(r"^\| (?:webdav|rclone|WsgiDAV) \| ([^|]+) \|", text, re.MULTILINE)
    assert set(re.findall(r"[A-Z]\d\d", " ".join(rows))) == named
