"""Opening below the root, in one step and, where the kernel cannot, component by component."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from storagedriver_filesystem import _beneath
from storagedriver_filesystem._beneath import DIRECTORY, READ, Descriptor, open_beneath

from storagedriver_core import (
    ListOptions,
    PathNotFoundError,
    PermissionDeniedError,
    PutOptions,
)

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import Opener

WAYS = {"by components": _beneath._open_by_components}
if _beneath._has_openat2():
    WAYS["one step"] = _beneath._open_in_one_step


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test once in each way."""
    monkeypatch.setattr(_beneath, "_open", WAYS[request.param])


@pytest.fixture
def tree(root: Path) -> Path:
    """Make files, directories and links inside and outside of the root."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_bytes(b"file")
    (root / "out").symlink_to(outside)
    (root / "up").symlink_to("..")
    (root / "inner").symlink_to("a")
    (root / "a/link").symlink_to("b/file")
    os.mkfifo(root / "pipe")
    return root


def opened_as(root: Path, path: str, flags: int) -> int | str:
    """Open below the root: an inode number, or the error's name."""
    with Descriptor(os.open(root, os.O_PATH)) as fd:
        try:
            with Descriptor(open_beneath(fd, path, flags)) as found:
                return os.fstat(found).st_ino
        except OSError as error:
            return errno.errorcode[error.errno or 0]


@pytest.mark.usefixtures("way")
def test_files_and_directories_are_opened(tree: Path) -> None:
    for path in ("a/b/file", "a/b", "a"):
        assert opened_as(tree, path, READ) == (tree / path).stat().st_ino
    for path in ("", "a", "a/b"):
        assert opened_as(tree, path, DIRECTORY) == (tree / path).stat().st_ino


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("flags", [READ, DIRECTORY])
@pytest.mark.parametrize("path", ["out", "out/secret", "up", "up/root", "inner", "inner/b"])
def test_no_link_is_followed_wherever_it_stands(tree: Path, path: str, flags: int) -> None:
    assert opened_as(tree, path, flags) == "ELOOP"


@pytest.mark.usefixtures("way")
def test_other_errors_are_those_of_open(tree: Path) -> None:
    assert opened_as(tree, "missing", READ) == "ENOENT"
    assert opened_as(tree, "missing/file", READ) == "ENOENT"
    assert opened_as(tree, "a/b/file/below", READ) == "ENOTDIR"
    assert opened_as(tree, "a/b/file", DIRECTORY) == "ENOTDIR"
    assert opened_as(tree, "x" * 300, READ) == "ENAMETOOLONG"


@pytest.mark.usefixtures("way")
def test_no_descriptor_stays_open(tree: Path) -> None:
    gc.collect()  # or what an earlier test left may go in between
    before = os.listdir("/proc/self/fd")
    for path in ("a/b/file", "a/missing/x", "out/secret", "a/b/file/below"):
        opened_as(tree, path, READ)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.usefixtures("way")
def test_driver_follows_no_link_and_lists_none(tree: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            for refused in (
                lambda: driver.get_content("/out/secret"),
                lambda: driver.get_content("/a/link"),
                lambda: driver.stat("/out"),
                lambda: driver.put_content("/out/new", b"", PutOptions()),
                lambda: driver.delete("/out/secret"),
                lambda: driver.move("/out/secret", "/mine"),
                lambda: driver.move("/a/b/file", "/out/mine"),
                lambda: driver.copy("/a/b/file", "/out/mine"),
                lambda: anext(driver.list("/inner", ListOptions())),
                lambda: anext(driver.walk("/out", ListOptions())),
            ):
                with pytest.raises(PermissionDeniedError, match="not followed"):
                    await refused()
            with pytest.raises(PathNotFoundError):
                await driver.get_content("/pipe")
            shown = [info.path async for page in driver.list("/", ListOptions()) for info in page]
            assert shown == ["/a"]

    asyncio.run(run())
    assert sorted(os.listdir(tree.parent / "outside")) == ["secret"]


@pytest.mark.usefixtures("way")
def test_writes_replace_a_link_and_deletes_remove_it(tree: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/a/link", b"new", PutOptions())
            assert (tree / "a/b/file").read_bytes() == b"file"
            await driver.delete("/out")
            (tree / "a/out").symlink_to("../../outside")
            await driver.delete("/a")

    asyncio.run(run())
    assert not (tree / "a").exists()
    assert (tree.parent / "outside/secret").read_bytes() == b"secret"


def test_kernel_without_the_call_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(code: int) -> Callable[..., int]:
        def opening(*_: object) -> int:
            raise OSError(code, "")

        return opening

    for code in (errno.ENOSYS, errno.EPERM):
        monkeypatch.setattr(_beneath, "_open_in_one_step", fail(code))
        assert not _beneath._has_openat2()
