"""Purge and migration: P01 to P05."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class PurgeCases(CaseGroup):
    """Uploads that nobody will finish."""
