"""Small contents by digest in this process's memory: manifests, which are asked for most often.

What they name as configuration is small, too. As with descriptors, what is kept holds for any
length of time, and does not say which repository has it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

# What an entry costs besides its content, about: keys, headers of objects, the table.
_ENTRY_BYTES = 500


class Contents(Generic[Key, Value]):
    """Values with a cost in bytes. Those used least recently go when it would be too much.

    Args:
        most_bytes: All values together at most. None is larger than an eighth of that; with 0
            nothing is kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Give a value; None if it is not kept."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        self._kept.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value, if there is room for one of this size in bytes."""
        cost = size + _ENTRY_BYTES
        self.forget(key)
        if cost > self._most // 8:
            return
        self._kept[key] = (value, cost)
        self._bytes += cost
        while self._bytes > self._most:
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed

    def forget(self, key: Key) -> None:
        """Drop a value."""
        entry = self._kept.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1]
