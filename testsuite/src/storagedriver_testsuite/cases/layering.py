"""Layers: Y01 to Y03."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class LayerCases(CaseGroup):
    """Middleware around the driver."""
