"""What streams let go of is there for what comes next."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own settings")

# Several pieces at a time, all let go of together, as several streams do.
PIECES = """
import resource
from storagedriver_registry.serving.allocation import keep_freed_memory
keep_freed_memory()

def pass_on():
    pieces = [b"x" * (256 * 1024) for _ in range(16)]

for _ in range(10):
    pass_on()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    pass_on()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 100 * 16 * 64


def faults(**variables: str) -> int:
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    environment.pop("GLIBC_TUNABLES", None)
    done = subprocess.run(
        [sys.executable, "-c", PIECES],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_memory_that_was_let_go_of_is_used_again() -> None:
    assert faults() < PAGES / 20


def test_the_environment_has_the_last_word() -> None:
    assert faults(MALLOC_TRIM_THRESHOLD_="0") > PAGES / 2
