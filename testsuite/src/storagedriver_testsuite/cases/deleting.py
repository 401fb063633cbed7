"""Delete: D01 to D13."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class DeleteCases(CaseGroup):
    """What is gone, and what stays."""
