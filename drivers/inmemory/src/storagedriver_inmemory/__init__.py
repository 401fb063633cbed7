"""Keeps everything in memory: the reference driver, for tests and for small caches."""

from __future__ import annotations

from storagedriver_inmemory._config import InMemoryConfig
from storagedriver_inmemory._driver import InMemoryDriver
from storagedriver_inmemory._store import Store

__all__ = ["InMemoryConfig", "InMemoryDriver", "Store"]
