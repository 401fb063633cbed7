"""The shared suite on the S3 driver: against SeaweedFS and against Swift's s3api."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness, Kit

from servers.seaweedfs import SeaweedFS
from servers.swift import Swift
from storagedriver_core import ConfigurationError

README = Path(__file__).parents[1] / "README.md"

LINGERS = "an emptied directory is listed for about two minutes"


class TestSeaweedFS(DriverSuite):
    label = "s3 on SeaweedFS"
    deviations: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(["D09", "L04", "M01", "M14", "N07", "Y01"], LINGERS),
        "N05": "a backslash in a key becomes a slash",
    }
    removed: ClassVar[Mapping[str, str]] = {
        "N25": "completing an upload onto a key that others lie below is an internal error",
        "W36": "1,200 parts of 5 MiB are 6 GB: test_small_parts.py",
        "W47": "of two completions at the same moment that ask for no object, both are taken",
    }

    @pytest.fixture
    def harness(self, tmp_path: Path, seaweedfs_bucket: Mapping[str, object]) -> Harness:
        return S3Harness(
            tmp_path,
            seaweedfs_bucket,
            other_credentials={
                "access_key": SeaweedFS.other_access_key,
                "secret_key": SeaweedFS.other_secret_key,
            },
            policies=True,
        )


MANY_REQUESTS = "each request takes it a hundredth of a second: it runs in make test-large"
LARGE_ON_SWIFT = ["L22", "P04", "Q08", "W36"]


class TestSwift(DriverSuite):
    label = "s3 on Swift"
    deviations: ClassVar[Mapping[str, str]] = {
        "C15": "an underscore in the name of metadata becomes a hyphen",
        "W41": "a part that comes after the completion spoils the object",
    }
    removed: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(LARGE_ON_SWIFT, MANY_REQUESTS),
    }

    @pytest.fixture
    def harness(self, tmp_path: Path, swift_bucket: Mapping[str, object]) -> Harness:
        return swift_harness(tmp_path, swift_bucket)


def swift_harness(directory: Path, bucket: Mapping[str, object]) -> S3Harness:
    return S3Harness(
        directory,
        bucket,
        other_credentials={
            "access_key": Swift.other_access_key,
            "secret_key": Swift.other_secret_key,
        },
    )


@pytest.mark.large
@pytest.mark.parametrize("case_id", LARGE_ON_SWIFT)
def test_case_of_many_requests_passes_on_swift(
    case_id: str, tmp_path: Path, swift_bucket: Mapping[str, object]
) -> None:
    kit = Kit(swift_harness(tmp_path, swift_bucket))
    case = getattr(DriverSuite(), DriverSuite.cases()[case_id])
    kit.run(functools.partial(case, kit))


class TestBenchmarks(DriverBenchmarks):
    label = "s3 on SeaweedFS"

    @pytest.fixture
    def harness(self, tmp_path: Path, seaweedfs_bucket: Mapping[str, object]) -> Harness:
        return S3Harness(tmp_path, seaweedfs_bucket)


NOWHERE = {"C14", "F08", "F09", "F11", "N19"}
OF_SEAWEEDFS = {"L10", "L12", "L23"}
OF_SWIFT = {"C16", "C17", "C18", "W47"}


def not_declared(suite: DriverSuite, preset: str) -> set[str]:
    parameters = {"bucket": "bucket", "preset": preset, "endpoint": "http://x"}
    credentials = {"access_key": "a", "secret_key": "s"}
    harness = S3Harness(
        Path(),
        {**parameters, **credentials},
        other_credentials=credentials,
        policies=preset == "seaweedfs",
    )
    return set(suite.not_declared(Kit(harness)))


def test_readme_names_what_is_not_shown_where() -> None:
    assert not_declared(TestSeaweedFS(), "seaweedfs") == NOWHERE | OF_SEAWEEDFS
    assert not_declared(TestSwift(), "swift") == NOWHERE | OF_SWIFT
    text = README.read_text().partition("## Conformance")[2]
    for id in NOWHERE:
        assert f"| {id} |" in text
    sentence = text[text.index("SeaweedFS, whose") : text.index("What follows")]
    assert set(re.findall(r"[A-Z]\d\d", sentence)) == OF_SEAWEEDFS | OF_SWIFT
    named = re.findall(
        r"^\| (SeaweedFS|Swift|both) \| ([A-Z\d, ]+) \| (always|at times) \|", text, re.M
    )
    for server, suite in (("SeaweedFS", TestSeaweedFS), ("Swift", TestSwift)):
        for how, ids in (("always", suite.deviations), ("at times", suite.removed)):
            told = {
                id
                for name, told_ids, told_how in named
                if name in (server, "both") and told_how == how
                for id in told_ids.split(", ")
            }
            assert told == set(ids), (server, how)


def test_no_case_is_named_on_both_servers_but_two() -> None:
    seaweedfs = {*TestSeaweedFS.deviations, *TestSeaweedFS.removed, *OF_SEAWEEDFS}
    swift = {*TestSwift.deviations, *TestSwift.removed, *OF_SWIFT}
    assert seaweedfs & swift == {"W36", "W47"}


def test_harness_without_parameters_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="-c"):
        S3Harness(tmp_path, {})
