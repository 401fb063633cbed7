from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from storagedriver_sqlite._config import SqliteConfig
from storagedriver_sqlite._driver import SqliteDriver
from storagedriver_testsuite import DriverSuite, Harness


class SqliteHarness(Harness):
    def __init__(self, file: Path) -> None:
        self.file = file

    def driver(self) -> SqliteDriver:
        return SqliteDriver(SqliteConfig(file=self.file))

    async def raw_list(self) -> Sequence[str]:
        return [*self.look("SELECT path FROM objects"), *await self.raw_uploads()]

    async def raw_uploads(self) -> Sequence[str]:
        return self.look("SELECT path FROM uploads")

    def look(self, statement: str) -> Sequence[str]:
        with closing(sqlite3.connect(self.file)) as database:
            return [path for (path,) in database.execute(statement)]


class TestSqlite(DriverSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return SqliteHarness(tmp_path / "objects.sqlite")
