"""What `docs/drivers.md` is made from: real runs, of today's drivers."""

from __future__ import annotations

import importlib
import json
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conformance_results import RUNS, of_any_root, reduced
from pages import drivers
from storagedriver_azure.harness import AzureHarness
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_fsspec.harness import FsspecHarness
from storagedriver_gcs.harness import GcsHarness
from storagedriver_inmemory.harness import InMemoryHarness
from storagedriver_remote.harness import RemoteHarness
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite import DriverSuite, Harness, Kit
from storagedriver_testsuite._report import CaseResult, SuiteReport, write_reports

from drivers.remote.tests.nodejs import NodeHarness, declared
from servers.azurite import Azurite
from storagedriver_core import load_plugins

ROOT = Path(__file__).resolve().parents[2]


def kept(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((ROOT / "docs/conformance" / f"{name}.json").read_text())
    return result


def s3(folder: Path, preset: str, **more: object) -> Harness:
    parameters = {"bucket": "bucket", "preset": preset, "endpoint": "http://x", **more}
    return S3Harness(folder, {**parameters, "access_key": "a", "secret_key": "s"})


def azure(folder: Path) -> Harness:
    account = {"account_name": Azurite.account, "account_key": Azurite.key}
    return AzureHarness(folder, {**account, "container": "abc", "endpoint": "http://x"})


def fsspec(folder: Path, protocol: str, **options: str) -> Harness:
    return FsspecHarness(folder, {"protocol": protocol, "options": options})


# The driver of each run, with no server: what it declares is known before it is open.
HARNESSES: Mapping[str, Callable[[Path], Harness]] = {
    "inmemory": InMemoryHarness,
    "filesystem": FilesystemHarness,
    "s3-seaweedfs": lambda folder: s3(folder, "seaweedfs"),
    "gcs-strict-fake": lambda folder: GcsHarness(folder, {"bucket": "b", "endpoint": "http://x"}),
    "azure-azurite": azure,
    "fsspec-local": lambda folder: fsspec(folder, "file"),
    "fsspec-memory": lambda folder: fsspec(folder, "memory"),
    "fsspec-sftp": lambda folder: fsspec(folder, "sftp", host="x"),
    "fsspec-webdav": lambda folder: fsspec(folder, "webdav", base_url="http://x"),
    "remote-inmemory": lambda folder: RemoteHarness(folder, {"behind": "inmemory"}),
    "remote-filesystem": lambda folder: RemoteHarness(
        folder, {"behind": "filesystem", "transport": "unix"}
    ),
    "remote-nodejs": lambda _: NodeHarness(declared()),
}


def suite_of(name: str, monkeypatch: pytest.MonkeyPatch) -> type[DriverSuite]:
    """Give the class of a run."""
    run = RUNS[name]
    if run.path:
        monkeypatch.syspath_prepend(str(ROOT / run.path))
        written = runpy.run_path(str(ROOT / run.file))
        suite: type[DriverSuite] = written[run.suite]
    else:
        module = importlib.import_module(run.file.removesuffix(".py").replace("/", "."))
        suite = getattr(module, run.suite)
    return suite


def test_every_driver_and_run_of_this_repository_is_there() -> None:
    found = {path.name for path in (ROOT / "drivers").iterdir() if (path / "README.md").exists()}
    results = {name: kept(name) for name in RUNS}
    assert {result["driver"] for result in results.values()} == {*found, "sqlite"}
    assert set(HARNESSES) == {name for name, run in RUNS.items() if not run.path}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.service("node") if "node" in name else [])
        for name in HARNESSES
    ],
)
def test_kept_capabilities_are_those_of_the_driver_today(name: str, tmp_path: Path) -> None:
    today = Kit(HARNESSES[name](tmp_path)).capabilities.to_json()
    assert kept(name)["capabilities"] == of_any_root(today), (
        f"run scripts/conformance_results.py run {name}, then scripts/reference.py"
    )


def test_kept_capabilities_of_the_example_are_those_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / RUNS["sqlite"].path))
    harness = runpy.run_path(str(ROOT / RUNS["sqlite"].file))["SqliteHarness"]
    today = Kit(harness(tmp_path / "objects.sqlite")).capabilities.to_json()
    assert kept("sqlite")["capabilities"] == of_any_root(today)


@pytest.mark.parametrize("name", RUNS)
def test_kept_deviations_are_those_that_the_suite_names_today(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, suite = kept(name), suite_of(name, monkeypatch)
    found = {
        outcome: {
            id: told.partition(": ")[2]
            for id, told in result["cases"].items()
            if told.partition(": ")[0] == outcome
        }
        for outcome in ("xfailed", "removed")
    }
    assert found == {"xfailed": suite.deviations, "removed": suite.removed}
    assert result["cases"].keys() <= suite.cases().keys()
    assert {told.partition(": ")[0] for told in result["cases"].values()} <= {
        *("passed", "not_declared", "xfailed", "removed"),
    }


@pytest.mark.parametrize("name", HARNESSES)
def test_directory_says_what_the_plugin_says(name: str) -> None:
    result, plugins = kept(name), load_plugins()
    spec = plugins.driver(result["driver"])
    told = (result["package"], result["summary"])
    assert told == (plugins.sources[spec].distribution, spec.summary)
    assert (ROOT / result["readme"]).is_file()


def report_of(outcome: str, path: Path) -> Path:
    """Write what `storagedriver conformance` writes."""
    suite = SuiteReport(
        "a stranger's", "inmemory", Kit(InMemoryHarness(path)).capabilities.to_json()
    )
    suite.cases = {
        "C01": CaseResult(outcome, "why", "test_what_is_put_is_what_is_got"),
        "C02": CaseResult("passed", "", "test_any_bytes_are_content"),
    }
    write_reports(path / "conformance.json", [suite])
    return path / "conformance.json"


def test_result_of_a_stranger_is_kept_and_shown(tmp_path: Path) -> None:
    result = reduced(report_of("xfailed", tmp_path), readme="https://git.example/box")
    assert result["cases"] == {"C01": "xfailed: why", "C02": "passed"}
    assert result["package"] == "storagedriver-inmemory"
    lines = list(drivers.lines([result]))
    assert "| [`inmemory`](https://git.example/box) | " in "\n".join(lines)
    assert f"| a stranger's | 1 | 0 | 1 | {len(DriverSuite.cases()) - 2} |" in lines
    assert "- Deviates always, C01: why" in lines


def test_result_with_a_failed_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="inmemory does not pass the suite: C01 failed"):
        reduced(report_of("failed", tmp_path), readme="https://git.example/box")
