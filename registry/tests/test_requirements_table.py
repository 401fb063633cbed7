"""The table of requirements in `docs/`: complete, and each of its tests notices its fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from registry.tests import (  # noqa: F401  # each registers its requirements
    test_requirements_blobs,
    test_requirements_discovery,
    test_requirements_management,
    test_requirements_manifests,
    test_requirements_pull,
)
from registry.tests.requirements import ALL, Requirement

PAGE = Path(__file__).parents[2] / "docs" / "requirements.md"
_ROW = re.compile(r"^\| ([A-Z]+-\d\d) \| ([A-Z ,]+) \| .+ \| `(\w+)` \|$", re.MULTILINE)
_LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}


class NoFailureError(Exception):
    """The test passed though its behaviour is switched off."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("requirement", ALL.values(), ids=ALL)
def test_requirement_that_is_switched_off_fails_its_test(
    requirement: Requirement, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirement.off(monkeypatch)
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        requirement.check()
        raise NoFailureError
    assert caught.type is not NoFailureError, f"{requirement.name} passes all the same"
    assert any(map(_passes, _neighbours(requirement))), "everything fails with it"


def _neighbours(requirement: Requirement) -> list[Requirement]:
    """Give the others of the same section, the nearest first."""
    section = [each for each in ALL.values() if each.id[:4] == requirement.id[:4]]
    place = section.index(requirement)
    others = [each for each in section if each is not requirement]
    return sorted(others, key=lambda each: abs(section.index(each) - place))


def _passes(requirement: Requirement) -> bool:
    try:
        requirement.check()
    except Exception:
        return False
    return True


def test_page_and_tests_name_the_same_requirements() -> None:
    rows = [(row[1], row[3]) for row in _ROW.finditer(PAGE.read_text())]
    assert sorted(rows) == sorted((each.id, each.name) for each in ALL.values())


def test_each_row_has_a_level_of_the_specification() -> None:
    for row in _ROW.finditer(PAGE.read_text()):
        assert set(row[2].split(", ")) <= _LEVELS, row[1]
