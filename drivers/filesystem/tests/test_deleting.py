"""A tree whose deletion is ended in the middle: what is left of it is some of its files."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from storagedriver_filesystem._deleting import delete
from storagedriver_filesystem._threads import Stop
from storagedriver_filesystem._tree import Tree

from storagedriver_core import StorageDriverError

FILES = ("t/1", "t/2", "t/x/3", "t/x/y/z/4", "t/v/w/5", "u/6")


class _StopAt(Stop):
    """Is asked for the end just before its check number `last`, from 0."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self._checks_left = last

    def check(self) -> None:
        if not self._checks_left:
            self.request()
        self._checks_left -= 1
        super().check()


def empty_directories(root: Path) -> list[str]:
    return [place for place, below, files in os.walk(root) if not below and not files]


def test_deletion_that_is_ended_anywhere_leaves_no_empty_directory(root: Path) -> None:
    for last in itertools.count():
        for file in FILES:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(b"")
        try:
            delete(Tree(str(root), 0o777), "/t", _StopAt(last))
        except StorageDriverError:
            assert not empty_directories(root), last
        else:
            break
    assert last > 2
    assert os.listdir(root) == ["u"]


def test_deletion_that_is_ended_deletes_no_more_files_of_the_same_directory(root: Path) -> None:
    (root / "t").mkdir()
    for number in range(10):
        (root / "t" / str(number)).write_bytes(b"")
    with pytest.raises(StorageDriverError):
        delete(Tree(str(root), 0o777), "/t", _StopAt(4))
    # One check was before the directory, and one before each of three files.
    assert len(os.listdir(root / "t")) == 7
