"""Stat: T01 to T11."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class StatCases(CaseGroup):
    """What is at a path."""
