"""Range reads: R01 to R22."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class RangeCases(CaseGroup):
    """Readers, offsets, lengths and conditions."""
