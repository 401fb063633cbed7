"""The state machine against a model: N25."""

from __future__ import annotations

from storagedriver_testsuite._suite import CaseGroup


class ModelCases(CaseGroup):
    """Random operations, the same answers as a dictionary."""
