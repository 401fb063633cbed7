"""Conformance suite and benchmarks for storage drivers, as a pytest plugin."""

# General layout. A module imports only from those above it:
#
#   _case                   the marker of a case
#   _harness                what a driver's author gives
#   _child, child, _trace   running a function in another process, and its system calls
#   _watch                  what the event loop's thread does
#   proxy/                  the fault proxy, a process of its own
#   _kit                    what a case holds, and the checks around it
#   _suite                  the base of the suite
#   cases/                  the cases, a module a group
#   _report,
#   pytest_plugin           running and reporting
#   benchmarks              what is measured, on any driver
#   kills, large, stalled   runs that a driver's tests call: many kills, cases at real size, readers
#                           that nobody reads on
#   _prefixed, _named       suites for drivers known by name, through middleware
#   default_stack           what reads and writes of the suite, through most drivers' middleware
#   _through_sync           a storage behind the blocking facade
#   through_sync            the suite through that
#   new/                    the `storagedriver new` command, and what it writes
#   hooks, command          the `storagedriver conformance` and `storagedriver bench` commands

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storagedriver_testsuite._case import Case, case
    from storagedriver_testsuite._harness import Answer, ExtraRequests, Harness, NotOfferedError
    from storagedriver_testsuite._kit import MAX_PARTS, PART, Kit
    from storagedriver_testsuite._named import suite_for
    from storagedriver_testsuite.benchmarks import DriverBenchmarks
    from storagedriver_testsuite.cases._all import DriverSuite

__all__ = [
    "MAX_PARTS",
    "PART",
    "Answer",
    "Case",
    "DriverBenchmarks",
    "DriverSuite",
    "ExtraRequests",
    "Harness",
    "Kit",
    "NotOfferedError",
    "case",
    "suite_for",
]

_MODULES = {
    "Case": "_case",
    "case": "_case",
    "Answer": "_harness",
    "ExtraRequests": "_harness",
    "Harness": "_harness",
    "NotOfferedError": "_harness",
    "MAX_PARTS": "_kit",
    "PART": "_kit",
    "Kit": "_kit",
    "suite_for": "_named",
    "DriverBenchmarks": "benchmarks",
    "DriverSuite": "cases._all",
}


def __getattr__(name: str) -> object:
    # The plugin module is in this package, and whoever lists plugins must not load pytest.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
