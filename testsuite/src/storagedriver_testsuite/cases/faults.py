"""Faults: F04 to F11."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class FaultCases(CaseGroup):
    """Cancellation, timeouts, full disks, kills."""
