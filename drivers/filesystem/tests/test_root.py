"""Root directories that are none: the error says which path, and what is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._driver import FilesystemDriver

from storagedriver_core import ConfigurationError, Storage

CREATE = pytest.mark.parametrize("create", [True, False])


def fault(root: Path, *, create: bool) -> str:
    """Give what the opening says, without the path that it names."""
    driver = FilesystemDriver(FilesystemConfig(root_directory=root, create=create))

    async def use() -> None:
        async with Storage(driver):
            pass

    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(use())
    start = f"the root directory {str(root)!r} "
    assert caught.value.message.startswith(start)
    return caught.value.message.removeprefix(start)


@CREATE
def test_root_that_is_a_file_is_called_one(create: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        assert fault(tmp_path / name, create=create) == "is a file, and no directory"
    assert (tmp_path / "file").read_bytes() == b"kept"


@CREATE
def test_root_of_links_that_lead_in_a_circle_is_called_so(create: bool, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for root in (tmp_path / "one", tmp_path / "one/data"):
        expected = "cannot be reached: symbolic links lead in a circle"
        assert fault(root, create=create) == expected


@CREATE
def test_root_that_is_a_link_to_nothing_is_called_so(create: bool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    assert fault(tmp_path / "link", create=create) == "is a symbolic link to what is not there"


def test_root_below_a_file_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert fault(tmp_path / "file/data", create=False) == "is not there, but below a file"
