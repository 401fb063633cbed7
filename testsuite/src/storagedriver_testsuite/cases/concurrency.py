"""Concurrency: K01 to K11."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class ConcurrencyCases(CaseGroup):
    """Many at once."""
