"""The suite through `SyncStorage`, the blocking facade.

The facade knows no driver, so that one driver is enough; and a fast one, since each call of a case
goes from thread to thread and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from storagedriver_core import Storage
from storagedriver_testsuite._through_sync import ThroughSync
from storagedriver_testsuite.cases._all import DriverSuite

_CANCELS = "a call that blocks cannot be cancelled, but by an interrupt of the main thread"
_KILLS = "where processes share no store, the case kills by cancelling"
_STEPS = "it counts on how far a task gets in its first step, and a thread has none"
_LOSES = "other threads let go of what is lost when they come to it, and not at once"

NOT_FROM_THREADS: Mapping[str, str] = {
    "F05": _CANCELS,
    "K06": _CANCELS,
    "K07": _STEPS,
    "K11": _CANCELS,
    "L21": _CANCELS,
    "M12": _CANCELS,
    "Q07": _LOSES,
    "W34": _KILLS,
    "W35": _KILLS,
    "W45": _LOSES,
}
"""Cases about what callers that block cannot do, and why."""


class ThroughSyncSuite(DriverSuite):
    """Every case but `NOT_FROM_THREADS`, with `SyncStorage` in place of `Storage`."""

    removed: ClassVar[Mapping[str, str]] = NOT_FROM_THREADS

    def facade(self, storage: Storage) -> Storage:
        """Call everything from threads."""
        return ThroughSync(storage)
