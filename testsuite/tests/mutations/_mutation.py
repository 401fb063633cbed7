"""What a broken driver is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from storagedriver_testsuite import Harness

from storagedriver_core import StorageDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One small fault that the test of one case must catch.

    Attributes:
        case_id: The case that must fail.
        fault: What is wrong, in a few words.
        wrap: Puts the broken driver around the correct one.
        sabotage: Breaks the portable layer instead, for rules that no driver alone can break.
        harness: Makes the harness from an empty directory; None for the inmemory driver's.
        known_bugs: Numbers in the case list's table of other systems' bugs that this is.
    """

    case_id: str
    fault: str
    wrap: Callable[[StorageDriver], StorageDriver] | None = None
    sabotage: Callable[[pytest.MonkeyPatch], None] | None = None
    harness: Callable[[Path], Harness] | None = None
    known_bugs: tuple[int, ...] = ()
