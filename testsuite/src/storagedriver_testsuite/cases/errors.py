"""Errors, configuration, discovery: E01 to E14."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class ErrorCases(CaseGroup):
    """What goes wrong, and how it says so."""
