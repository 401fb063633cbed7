"""List and walk: L01 to L28."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class ListingCases(CaseGroup):
    """Directories, order and pages."""
