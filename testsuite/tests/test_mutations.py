"""Every case must catch its broken driver, and none may lack one."""

from __future__ import annotations

import functools
import gc
from pathlib import Path

import pytest
from storagedriver_inmemory.harness import InMemoryHarness
from storagedriver_testsuite import DriverSuite, Kit

from storagedriver_core import StorageDriver

from .mutations import MUTATIONS
from .mutations._mutation import Mutation

# Numbers in the table "Known bugs of other systems" that a local driver can show.
LOCAL_KNOWN_BUGS = {1, 2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20}


class NoFailureError(Exception):
    """The case passed on the broken driver."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: f"{each.case_id}-{each.fault}")
def test_case_catches_its_broken_driver(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_harness = mutation.harness or InMemoryHarness
    kit = Kit(make_harness(tmp_path), wrap=mutation.wrap or _unchanged)
    suite = DriverSuite()
    function = getattr(suite, DriverSuite.cases()[mutation.case_id])
    if mutation.sabotage is not None:
        mutation.sabotage(monkeypatch)
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        kit.run(functools.partial(function, kit))
        raise NoFailureError
    failure = caught.type
    # What the case left open goes while its warnings are ignored, and in no other test.
    del caught, kit, function
    gc.collect()
    gc.freeze()
    assert failure is not NoFailureError, f"{mutation.case_id} passes on: {mutation.fault}"


def test_every_case_has_a_mutation() -> None:
    assert set(DriverSuite.cases()) == {mutation.case_id for mutation in MUTATIONS}


def test_every_local_known_bug_is_a_broken_driver() -> None:
    named = {number for mutation in MUTATIONS for number in mutation.known_bugs}
    assert named >= LOCAL_KNOWN_BUGS


def _unchanged(driver: StorageDriver) -> StorageDriver:
    return driver
