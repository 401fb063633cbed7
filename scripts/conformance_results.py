"""Keeps what drivers made of the conformance suite, in docs/conformance, for docs/drivers.md.

python scripts/conformance_results.py run [NAME ...]
python scripts/conformance_results.py add conformance.json --name box --readme https://example/box
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storagedriver_core import load_plugins

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "conformance"
EXAMPLE = "testsuite/src/storagedriver_testsuite/new/storagedriver-sqlite"


@dataclass(frozen=True)
class Run:
    """One suite of a driver of this repository.

    Attributes:
        file: Where its tests are.
        suite: The class.
        label: What the driver stores on, if the class does not say so.
        package, summary, readme: What the plugin tells, if it is no plugin that is installed.
        path: What has to be on the path of imports.
    """

    file: str
    suite: str
    label: str = ""
    package: str = ""
    summary: str = ""
    readme: str = ""
    path: str = ""


RUNS = {
    "inmemory": Run("drivers/inmemory/tests/test_conformance.py", "TestInMemory"),
    "filesystem": Run("drivers/filesystem/tests/test_conformance.py", "TestFilesystem"),
    "s3-seaweedfs": Run("drivers/s3/tests/test_conformance.py", "TestSeaweedFS"),
    "gcs-strict-fake": Run("drivers/gcs/tests/test_conformance.py", "TestStrictFake"),
    "azure-azurite": Run("drivers/azure/tests/test_conformance.py", "TestAzurite"),
    "fsspec-local": Run("drivers/fsspec/tests/test_conformance.py", "TestLocal"),
    "fsspec-memory": Run("drivers/fsspec/tests/test_conformance.py", "TestMemory"),
    "fsspec-sftp": Run("drivers/fsspec/tests/test_conformance.py", "TestSftp"),
    "fsspec-webdav": Run("drivers/fsspec/tests/test_conformance.py", "TestWebdavOnRclone"),
    "remote-inmemory": Run("drivers/remote/tests/test_conformance.py", "TestRemoteInMemory"),
    "remote-filesystem": Run("drivers/remote/tests/test_conformance.py", "TestRemoteFilesystem"),
    "remote-nodejs": Run("drivers/remote/tests/test_nodejs.py", "TestNodejs"),
    "sqlite": Run(
        f"{EXAMPLE}/tests/test_conformance.py",
        "TestSqlite",
        label="sqlite",
        package="what `storagedriver new` writes",
        summary="Keeps everything in one SQLite file; the example to begin with",
        readme="docs/writing-a-driver.md",
        path=f"{EXAMPLE}/src",
    ),
}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run suites of this repository, all if none is named")
    running.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    adding = commands.add_parser("add", help="keep what `storagedriver conformance` has written")
    adding.add_argument("report", type=Path)
    adding.add_argument("--name", required=True, help="name of the file to write")
    adding.add_argument("--readme", required=True, help="address of the driver's documentation")
    options = parser.parse_args()
    if options.command == "add":
        keep(options.name, reduced(options.report, readme=options.readme))
        return
    for name in options.names or RUNS:
        keep(name, run(RUNS[name]))
        print(f"{name}: kept", flush=True)


def run(one: Run) -> dict[str, Any]:
    """Runs a suite, those of its cases too that are marked as large, and gives what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "conformance.json")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["-m", "large or not large", f"--conformance-report={report}"]
        path = {"PYTHONPATH": str(ROOT / one.path)} if one.path else {}
        subprocess.run(
            [*command, f"{one.file}::{one.suite}"], cwd=ROOT, env=os.environ | path, check=True
        )
        return reduced(
            report,
            label=one.label,
            package=one.package,
            summary=one.summary,
            readme=one.readme,
        )


def reduced(
    report: Path, *, readme: str, label: str = "", package: str = "", summary: str = ""
) -> dict[str, Any]:
    """Gives what the page needs of a `conformance.json` with one suite.

    Args:
        report: The file.
        readme: Path in this repository or address of the driver's documentation; if empty, the
            README of a driver of this repository.
        label: What to call it, in place of what the suite says.
        package: Name of the package; by default what the installed plugin tells.
        summary: What the driver is for; by default as for `package`.
    """
    (suite,) = json.loads(report.read_text(encoding="utf-8"))["suites"]
    driver = suite["driver"]
    failed = [id for id, case in suite["cases"].items() if case["outcome"] == "failed"]
    if failed:
        sys.exit(f"{driver} does not pass the suite: {', '.join(failed)} failed")
    if not package:
        plugins = load_plugins()
        spec = plugins.driver(driver)
        package, summary = plugins.sources[spec].distribution, spec.summary
    return {
        "label": label or suite["label"],
        "driver": driver,
        "package": package,
        "summary": summary,
        "readme": readme or f"drivers/{driver}/README.md",
        "capabilities": of_any_root(suite["capabilities"]),
        "cases": {
            id: ": ".join(filter(None, (case["outcome"], case.get("reason"))))
            for id, case in suite["cases"].items()
        },
    }


def of_any_root(capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out how long a path may be, which is less below a longer root directory.

    A component that may be as long as a path has no limit of its own.
    """
    given = dict(capabilities)
    longest = given.pop("max_path_bytes")
    if given["max_component_bytes"] >= longest - 1:
        given["max_component_bytes"] = None
    return given


def keep(name: str, result: dict[str, Any]) -> None:
    """Writes the file."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
