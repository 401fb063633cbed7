"""Writers, resume, append: W01 to W25."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class WriterCases(CaseGroup):
    """One writer and its life."""
