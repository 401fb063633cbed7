"""Resuming uploads: W26 to W52."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class ResumeCases(CaseGroup):
    """Uploads that go on elsewhere."""
