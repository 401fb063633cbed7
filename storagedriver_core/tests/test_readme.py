"""What the README shows, runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"

HARNESS = """
import pytest
from storagedriver_testsuite import DriverSuite, Harness


class DictHarness(Harness):
    def __init__(self):
        self.files = {}

    def driver(self):
        driver = DictDriver()
        driver._files = self.files
        return driver

    async def raw_list(self):
        return list(self.files)

    async def raw_uploads(self):
        return []


class TestDict(DriverSuite):
    @pytest.fixture
    def harness(self):
        return DictHarness()
"""

SERVE = """
import asyncio
import httpx


async def main():
    async with lifespan(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://registry") as client:
            print((await client.get("/v2/")).status_code)


asyncio.run(main())
"""


def blocks() -> dict[str, str]:
    """Give the Python of each section, by its heading."""
    found = re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```",
        README.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    return dict(found)


def run(directory: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_storage_of_the_readme_runs(tmp_path: Path) -> None:
    assert run(tmp_path, "-c", blocks()["Use a storage"]).splitlines() == [
        "/greetings/hello 12",
        "/greetings/long 12",
    ]


def test_driver_of_the_readme_passes_the_suite(tmp_path: Path) -> None:
    code = blocks()["Write a driver"]
    assert len([line for line in code.splitlines() if line.strip()]) <= 38
    file = tmp_path / "test_dict.py"
    file.write_text(code + HARNESS)
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    assert re.search(r"\d{2} passed", run(tmp_path, "-m", "pytest", *options, str(file)))


@pytest.mark.parametrize("path", ["docs/concepts.md", "CHANGELOG.md", "docs/examples"])
def test_readme_points_to_what_is_there(path: str) -> None:
    assert path in README.read_text()
    assert (README.parent / path).exists()


def test_embedding_of_the_readme_serves(tmp_path: Path) -> None:
    (tmp_path / "storage.yml").write_text(
        "storage: {driver: filesystem, parameters: {root_directory: data}}\n"
    )
    code = blocks()["Embed the registry"]
    assert run(tmp_path, "-c", code + SERVE).strip() == "200"
