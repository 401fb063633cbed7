"""Events on disk, that wait to be sent.

```text
<directory>/
  events.sqlite       rows in the order in which they are to be sent, an event for one endpoint each
  <hash>.lock         held by the process that sends to the endpoint
```

An event that `add` has taken survives the process, and the machine: SQLite's log is synchronized
before it returns. Any number of processes of one machine add; their transactions come one after the
other, and with them the order of what they add.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from storagedriver_core import ConfigurationError

_BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_of_endpoint ON events (endpoint, id);
CREATE TABLE IF NOT EXISTS waiting (endpoint TEXT PRIMARY KEY, events INTEGER NOT NULL);
CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON events BEGIN
    INSERT INTO waiting VALUES (NEW.endpoint, 1)
    ON CONFLICT (endpoint) DO UPDATE SET events = events + 1;
END;
CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON events BEGIN
    UPDATE waiting SET events = events - 1 WHERE endpoint = OLD.endpoint;
END;
"""


class Waiting(NamedTuple):
    """An event that waits.

    Attributes:
        number: Those of one endpoint grow in the order in which they are to be sent.
        text: The event.
    """

    number: int
    text: str


class Queue:
    """One process's view of the queue; its methods block, and are called on one thread.

    Args:
        directory: Where it is; made if it is not there.
        most: Events that may wait for one endpoint.
    """

    def __init__(self, directory: Path, most: int) -> None:
        self._directory = directory
        self._most = most
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open it, after which other processes may as well.

        Raises:
            ConfigurationError: The directory cannot be used.
        """
        path = self._directory / "events.sqlite"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Transactions are begun and ended here, and not by the module.
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise ConfigurationError(
                f"notifications.queue: {path} cannot be used: {error}"
            ) from error

    def close(self) -> None:
        """Close it. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def add(self, rows: Sequence[tuple[str, str]]) -> list[bool]:
        """Add events, each with the name of its endpoint first. All are durable, or none is.

        Returns:
            For each whether there was room for it.
        """
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            waiting = dict(connection.execute("SELECT endpoint, events FROM waiting"))
            taken = []
            for endpoint, _ in rows:
                is_taken = waiting.get(endpoint, 0) < self._most
                taken.append(is_taken)
                waiting[endpoint] = waiting.get(endpoint, 0) + is_taken
            connection.executemany(
                "INSERT INTO events (endpoint, event) VALUES (?, ?)",
                [row for row, is_taken in zip(rows, taken, strict=True) if is_taken],
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return taken

    def first(self, endpoint: str, count: int) -> list[Waiting]:
        """Give the events that have waited longest for an endpoint."""
        select = "SELECT id, event FROM events WHERE endpoint = ? ORDER BY id LIMIT ?"
        with closing(self._opened().execute(select, (endpoint, count))) as rows:
            return [Waiting(*row) for row in rows]

    def remove(self, endpoint: str, last: int) -> None:
        """Remove the events of an endpoint up to a number: they were sent."""
        delete = "DELETE FROM events WHERE endpoint = ? AND id <= ?"
        self._opened().execute(delete, (endpoint, last))

    def waiting(self) -> dict[str, int]:
        """Give how many events wait for each endpoint, where any do."""
        select = "SELECT endpoint, events FROM waiting WHERE events > 0"
        return dict(self._opened().execute(select))

    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, "the queue is not open"
        return self._connection
