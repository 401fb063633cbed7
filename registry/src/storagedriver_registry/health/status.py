"""What becomes of a check's results."""

from __future__ import annotations


class Status:
    """One check's, which fails when it has failed often enough, one time after the other.

    Args:
        threshold: How often; less than one counts as one.
    """

    def __init__(self, threshold: int) -> None:
        self._threshold = max(1, threshold)
        self._failures = 0
        self._reason = ""

    @property
    def failure(self) -> str:
        """Why it fails; empty if it does not."""
        return self._reason if self._failures >= self._threshold else ""

    def update(self, reason: str) -> None:
        """Note how a check has ended: why it failed, or empty text."""
        self._failures = self._failures + 1 if reason else 0
        self._reason = reason
