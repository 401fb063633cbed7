"""Whoever lists plugins must not pay for the suite."""

from __future__ import annotations

import subprocess
import sys


def test_plugin_module_of_the_suite_loads_no_test_framework() -> None:
    script = (
        "import sys, storagedriver_testsuite.hooks;"
        "print(sorted({'pytest', 'hypothesis', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
