from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"pydantic", "pydantic_core", "rich", "typer", "yaml", "pytest", "anyio"}
SDKS = {"adlfs", "aiobotocore", "boto3", "botocore", "fsspec", "gcsfs", "google", "s3fs", "azure"}

SHOW_MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"
RUN_DRIVERS = """
import sys
sys.argv = ["storagedriver", "drivers", "--json"]
from storagedriver_core.cli import main
try:
    main()
except SystemExit:
    pass
"""


def modules_after(code: str) -> set[str]:
    """Give the modules that a fresh interpreter has loaded after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOW_MODULES}"], capture_output=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_import_of_the_core_loads_nothing_heavy_and_no_plugin() -> None:
    loaded = packages(modules_after("import storagedriver_core"))
    assert not loaded & (HEAVY | SDKS)
    assert {name for name in loaded if name.startswith("storagedriver_")} == {"storagedriver_core"}


def test_listing_drivers_imports_no_driver_and_no_sdk() -> None:
    modules = modules_after(RUN_DRIVERS)
    assert not packages(modules) & SDKS
    # The plugin is loaded, and what its spec names by a factory is not.
    assert "storagedriver_filesystem.hooks" in modules
    assert "storagedriver_filesystem._driver" not in modules


SECONDS = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


@pytest.mark.large
def test_import_of_the_core_costs_at_most_twice_its_foundations() -> None:
    def seconds(modules: str) -> float:
        code = SECONDS.format(modules)
        return float(subprocess.check_output([sys.executable, "-c", code]))

    # By turns, so that a busy machine slows both, and the best of many.
    rounds = [(seconds("asyncio, pydantic"), seconds("storagedriver_core")) for _ in range(15)]
    foundations, core = (min(column) for column in zip(*rounds, strict=True))
    assert core <= 2 * foundations
