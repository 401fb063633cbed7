"""Resources: Q01 to Q08."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class ResourceCases(CaseGroup):
    """Memory, threads, descriptors and the event loop."""
