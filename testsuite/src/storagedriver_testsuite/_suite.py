"""The suite that a driver's author subclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from storagedriver_core import Storage, StorageDriver
from storagedriver_testsuite._case import Case, case_of
from storagedriver_testsuite._harness import Harness
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._trace import can_trace


class CaseGroup:
    """Base of the groups of cases; `DriverSuite` joins them all.

    Every test is `async def test_<rule>(self, kit: Kit)`, marked with `@case(id, needs=…)`.
    """

    @classmethod
    def cases(cls) -> dict[str, str]:
        """Give the name of the test function of each case id."""
        found: dict[str, str] = {}
        for name in dir(cls):
            if name.startswith("test_") and (known := case_of(getattr(cls, name))):
                assert known.id not in found, f"{known.id} has two test functions"
                found[known.id] = name
        return found


class SuiteBase(CaseGroup):
    """What the suite needs to run: the harness and how to wrap its drivers.

    Attributes:
        label: Name of this run in the report; the class's name if empty.
        narrow: Capabilities to narrow in every storage of the suite.
        part_size: Bytes of a part; None for the default.
        deviations: Case ids that this server always fails, with the reason; they must fail.
        removed: Case ids that this server fails now and then, with the reason; they do not run.
    """

    label: ClassVar[str] = ""
    narrow: ClassVar[Mapping[str, Any]] = {}
    part_size: ClassVar[int | None] = None
    deviations: ClassVar[Mapping[str, str]] = {}
    removed: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            inherited = next((vars(base) for base in cls.__mro__[1:] if name in vars(base)), None)
            if name.startswith("test_") and inherited and case_of(inherited[name]):
                raise TypeError(
                    f"{cls.__name__}.{name} replaces a case of the suite; "
                    "name a deviation in 'deviations' or 'removed' instead"
                )

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        """Put middleware around each driver of the suite; none here."""
        return driver

    def facade(self, storage: Storage) -> Storage:
        """Put what is called in a storage's place around each storage of the suite; none here."""
        return storage

    @pytest.fixture
    def harness(self) -> Harness:
        """Give the harness of one test. Every subclass overrides this."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'harness'")

    @pytest.fixture
    def kit(self, harness: Harness, pytestconfig: pytest.Config) -> Kit:
        """Give the world of one case."""
        large: bool = pytestconfig.getoption("--conformance-large")
        return Kit(
            harness,
            wrap=self.wrap,
            facade=self.facade,
            narrow=self.narrow,
            part_size=self.part_size,
            large=large,
        )

    def not_declared(self, kit: Kit) -> dict[str, str]:
        """Give the ids of the cases that do not run on this driver, each with the reason."""
        known = {id: case_of(getattr(self, name)) for id, name in self.cases().items()}
        reasons = {id: self.why_not(case, kit) for id, case in known.items() if case}
        return {id: reason for id, reason in sorted(reasons.items()) if reason}

    def why_not(self, case: Case, kit: Kit) -> str:
        """Tell why a case does not run on this driver; empty if it does."""
        declared = kit.capabilities
        narrowed = declared.narrow(self.narrow)
        for need in case.needs:
            if need.startswith("harness."):
                if not any(map(kit.harness.offers, need.removeprefix("harness.").split("|"))):
                    return f"{need} is not offered"
            elif need == "strace":
                if not can_trace():
                    return "strace is not installed, or may not trace"
            elif not getattr(narrowed, need):
                return f"{need} is not declared"
        return ""
