"""Content round trip: C01 to C24."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class ContentCases(CaseGroup):
    """What is put is what is got."""
