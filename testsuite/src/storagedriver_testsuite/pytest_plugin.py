"""The pytest plugin: runs cases, and keeps the suite honest.

- An `async def` case runs inside `Kit.run`, on a loop of its own.
- A case whose needs are not declared is skipped and reported as such; any other skip of a case is
  a failure, since a declared capability's case may not skip.
- A suite of which no case passed fails the session.
"""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from storagedriver_testsuite._case import Case, case_of
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._report import (
    CaseResult,
    SuiteReport,
    print_reports,
    write_reports,
)
from storagedriver_testsuite._suite import SuiteBase

REPORTS = pytest.StashKey[dict[str, SuiteReport]]()
_WHY_NOT = pytest.StashKey[CaseResult]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("storagedriver", "storage driver conformance")
    group.addoption(
        "--conformance-report",
        metavar="PATH",
        help="write the result of each case to this JSON file",
    )
    group.addoption(
        "--conformance-table",
        action="store_true",
        help="print a table of the results",
    )
    group.addoption(
        "--conformance-large",
        action="store_true",
        help="run at real size the cases that come in two sizes; takes minutes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the reports."""
    config.addinivalue_line("markers", "case(id): the conformance case that the test implements")
    config.stash[REPORTS] = {}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let `-k W33` select a case by its id."""
    if (case := _case(item)) is not None:
        item.extra_keyword_matches.add(case.id)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors in every case, wherever the suite is used."""
    for item in items:
        suite, case = _suite(item), _case(item)
        if suite is None or case is None:
            continue
        item.add_marker(pytest.mark.filterwarnings("error"))
        reason = suite.deviations.get(case.id)
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let the collections after each case pass over what was there before; they take most time."""
    if any(_suite(item) for item in session.items):
        gc.collect()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` case, or skip it with its reason."""
    case, suite = _case(pyfuncitem), _suite(pyfuncitem)
    if case is None or suite is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    kit = pyfuncitem.funcargs["kit"]
    assert isinstance(kit, Kit)
    _describe(pyfuncitem, suite, kit)
    if case.id in suite.removed:
        pyfuncitem.stash[_WHY_NOT] = CaseResult("removed", suite.removed[case.id])
        pytest.skip(f"{case.id}: {suite.removed[case.id]}")
    if reason := suite.why_not(case, kit):
        pyfuncitem.stash[_WHY_NOT] = CaseResult("not_declared", reason)
        pytest.skip(f"{case.id}: {reason}")
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    kit.run(functools.partial(pyfuncitem.obj, **arguments))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Enter each case in the report, and turn a skip that hides something into a failure."""
    report = yield
    case, suite = _case(item), _suite(item)
    if case is None or suite is None:
        return report
    known = item.stash.get(_WHY_NOT, None)
    xfailed = hasattr(report, "wasxfail")
    if report.skipped and known is None and not xfailed:
        report.outcome = "failed"
        report.longrepr = f"{case.id} skipped, but everything that it needs is declared"
    entry = _suite_report(item.config, suite)
    result = known
    if result is None:
        if report.failed:
            result = CaseResult("failed", str(report.longrepr).rpartition("\n")[2])
        elif xfailed:
            result = CaseResult("xfailed", str(report.wasxfail))
        elif report.when == "call":
            result = CaseResult("passed")
    if result is not None and entry.cases.get(case.id, CaseResult("")).outcome != "failed":
        result.test = item.name
        entry.cases[case.id] = result
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report of a run that has ended; fail if a suite that was there passed nothing."""
    gc.unfreeze()
    reports = list(session.config.stash[REPORTS].values())
    path = session.config.getoption("--conformance-report")
    if path and reports and session.exitstatus != pytest.ExitCode.INTERRUPTED:
        write_reports(Path(path), reports)
    if any(not report.counts().get("passed") for report in reports) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table, and say which suites passed nothing."""
    reports = list(config.stash[REPORTS].values())
    if config.getoption("--conformance-table"):
        print_reports(Console(file=terminalreporter._tw._file), reports)
    for report in reports:
        if not report.counts().get("passed"):
            terminalreporter.write_line(f"{report.label}: no conformance case passed", red=True)


def _case(item: pytest.Item) -> Case | None:
    return case_of(getattr(item, "function", None))


def _suite(item: pytest.Item) -> SuiteBase | None:
    instance = getattr(item, "instance", None)
    return instance if isinstance(instance, SuiteBase) else None


def _suite_report(config: pytest.Config, suite: SuiteBase) -> SuiteReport:
    name = f"{type(suite).__module__}.{type(suite).__qualname__}"
    return config.stash[REPORTS].setdefault(name, SuiteReport(suite.label or type(suite).__name__))


def _describe(item: pytest.Item, suite: SuiteBase, kit: Kit) -> None:
    entry = _suite_report(item.config, suite)
    if not entry.driver_name:
        storage = kit.unopened()
        entry.driver_name = storage.driver_name
        entry.capabilities = storage.capabilities.to_json()
