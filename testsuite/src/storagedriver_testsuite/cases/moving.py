"""Move and copy: M01 to M20."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class MoveCases(CaseGroup):
    """Objects that change their place."""
