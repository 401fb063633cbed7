"""What reads and writes of the suite, through the middlewares that most drivers have around them.

For servers on which the whole suite through them would take too long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from storagedriver_testsuite._harness import Harness
from storagedriver_testsuite._named import stack_of
from storagedriver_testsuite._prefixed import PREFIX, PrefixedHarness
from storagedriver_testsuite._suite import SuiteBase
from storagedriver_testsuite.cases.content import ContentCases
from storagedriver_testsuite.cases.copying import CopyCases
from storagedriver_testsuite.cases.deleting import DeleteCases
from storagedriver_testsuite.cases.listing import ListingCases
from storagedriver_testsuite.cases.moving import MoveCases
from storagedriver_testsuite.cases.ranges import RangeCases
from storagedriver_testsuite.cases.resume import ResumeCases
from storagedriver_testsuite.cases.stat import StatCases
from storagedriver_testsuite.cases.writers import WriterCases

DEFAULT_STACK = ("prefix", "retry", "limit", "timeout")

HIDDEN = {"R21": "a body that ended early is opened again, and nobody sees it"}
"""What `retry` hides, so that the case, which looks for it, fails."""


class DefaultStackSuite(
    ContentCases,
    CopyCases,
    DeleteCases,
    ListingCases,
    MoveCases,
    RangeCases,
    ResumeCases,
    StatCases,
    WriterCases,
    SuiteBase,
):
    """Its fixture `harness` gives what `through_default_stack` makes of the driver's harness.

    The groups about faults have middlewares of their own; Y01 is in every run.
    """

    deviations: ClassVar[Mapping[str, str]] = HIDDEN


def through_default_stack(harness: Harness) -> Harness:
    """Put `DEFAULT_STACK` around the drivers of a harness."""
    return PrefixedHarness(harness, PREFIX, stack_of(DEFAULT_STACK))
