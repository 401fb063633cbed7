"""The shared suite on the strict fake and on fake-gcs-server; neither is Google's service."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from storagedriver_gcs.harness import GcsHarness
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness, Kit

from drivers.gcs.tests._strict import StrictHarness
from servers.fake_gcs import FakeGcs
from servers.strict_gcs import StrictGcs

README = Path(__file__).parents[1] / "README.md"

NOT_DECLARED = {"F08", "F11", "F12", "F14", "M12", "M16", "M18", "N19"} | {
    *("P01", "P02", "P03", "P04", "W26"),
}
BUCKET = "conformance"

PAGES = "fake-gcs-server: with a delimiter every page has all prefixes, so that none is in order"
AFTER_416 = "fake-gcs-server: closes the connection after 416 without saying so"


class TestStrictFake(DriverSuite):
    label = "gcs on the strict fake"

    @pytest.fixture
    def harness(self, tmp_path: Path, strict_gcs: StrictGcs) -> Harness:
        return StrictHarness(tmp_path, strict_gcs)


class TestFakeGcsServer(DriverSuite):
    label = "gcs on fake-gcs-server"
    deviations: ClassVar[Mapping[str, str]] = dict.fromkeys(("L12", "L28", "N16"), PAGES)
    removed: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("L24", "N25"), PAGES),
        **dict.fromkeys(("R03", "R04", "R10", "R12", "R18"), AFTER_416),
    }
    narrow: ClassVar[Mapping[str, Any]] = {
        # It honours ifGenerationMatch for uploadType=multipart alone.
        "put_if_absent": False,
        "put_if_match": False,
        "copy_if_absent": False,
        "move_if_absent": False,
        # Its status query completes an upload (its issue 2354), so that none can be resumed.
        "upload": False,
    }

    @pytest.fixture
    def harness(self, tmp_path: Path, fake_gcs: FakeGcs) -> Harness:
        return GcsHarness(tmp_path, _parameters(fake_gcs))


class TestBenchmarks(DriverBenchmarks):
    label = "gcs on the strict fake"

    @pytest.fixture
    def harness(self, tmp_path: Path, strict_gcs: StrictGcs) -> Harness:
        return StrictHarness(tmp_path, strict_gcs)


def _parameters(server: FakeGcs) -> dict[str, object]:
    with contextlib.suppress(OSError):  # it is there already
        server.create_bucket(BUCKET)
    return {"bucket": BUCKET, "endpoint": server.url, "identity": "anon"}


def test_readme_names_what_is_not_declared(tmp_path: Path, strict_gcs: StrictGcs) -> None:
    reasons = TestStrictFake().not_declared(Kit(StrictHarness(tmp_path, strict_gcs)))
    named = re.findall(r"^\| ([A-Z]\d\d) \|", README.read_text(), re.MULTILINE)
    assert set(named) == set(reasons) == NOT_DECLARED
    assert not TestStrictFake.deviations


def test_readme_tells_the_requests_of_a_commit() -> None:
    extra = GcsHarness.extra_requests
    assert (extra.put, extra.replace, extra.part) == (0, 0, 0)
    assert f"**{2 + extra.commit} requests more than it has parts**" in README.read_text()
