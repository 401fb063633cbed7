"""The contract page says every rule of the suite, once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from storagedriver_testsuite import DriverSuite

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


def test_contract_page_names_each_case_exactly_once() -> None:
    named = Counter(re.findall(r"^\| ([A-Z]\d\d) \|", PAGE.read_text(), re.MULTILINE))
    assert set(named) == set(DriverSuite.cases())
    assert set(named.values()) == {1}
