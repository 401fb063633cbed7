"""Configuration, races of directories, and what no portable case can see."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from pydantic import ValidationError
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._driver import FilesystemDriver
from storagedriver_filesystem.hooks import storagedriver_register_drivers

from storagedriver_core import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    ListOptions,
    NoSpaceError,
    PartialDeleteError,
    PathNotFoundError,
    PermissionDeniedError,
    PutOptions,
    ReadOptions,
    StorageDriverError,
    UnavailableError,
    UploadOptions,
    load_config,
)

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import Opener

# What the system may answer where the root is to be made.
REFUSALS = {
    errno.ENOENT: ConfigurationError,
    errno.ENAMETOOLONG: ConfigurationError,
    errno.EACCES: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ENOSPC: NoSpaceError,
}


def test_distribution_spellings_and_octal_modes_are_accepted() -> None:
    config = FilesystemConfig.model_validate(
        {"rootdirectory": "/srv", "maxthreads": 7, "file_mode": "0640", "directory_mode": 0o750}
    )
    assert config == FilesystemConfig(
        root_directory=Path("/srv"), max_threads=7, file_mode=0o640, directory_mode=0o750
    )
    with pytest.raises(ValidationError, match="not an octal number"):
        FilesystemConfig.model_validate({"root_directory": "/srv", "file_mode": "rw-r--r--"})


@pytest.mark.parametrize("written", ["0640", "0o640", '"0640"', '"640"'])
def test_a_mode_is_shown_in_octal_and_read_as_it_is_shown(tmp_path: Path, written: str) -> None:
    parameters = "{root_directory: /srv, file_mode: %s, directory_mode: 02770}"
    text = f"storage: {{driver: filesystem, parameters: {parameters % written}}}"
    (tmp_path / "storage.yml").write_text(text)
    config = load_config(tmp_path / "storage.yml")
    shown = {setting.key: setting.value for setting in config.settings()}
    assert shown["storage.parameters.file_mode"] == "0o640"
    assert shown["storage.parameters.directory_mode"] == "0o2770"
    (tmp_path / "again.yml").write_text(config.to_yaml())
    assert load_config(tmp_path / "again.yml").parameters == config.parameters
    assert config.parameters == FilesystemConfig(
        root_directory=Path("/srv"), file_mode=0o640, directory_mode=0o2770
    )


@pytest.mark.parametrize("written", [600, 644, 700, 755, 1777, 2770])
def test_an_octal_mode_that_is_written_as_a_decimal_number_is_refused(
    tmp_path: Path, written: int
) -> None:
    parameters = f"{{root_directory: /srv, file_mode: {written}}}"
    text = f"storage: {{driver: filesystem, parameters: {parameters}}}"
    (tmp_path / "storage.yml").write_text(text)
    message = rf"storage.yml:1: .*file_mode: {written} is 0o{written:o}, .* octal, such as 0o640"
    with pytest.raises(ConfigurationError, match=message):
        load_config(tmp_path / "storage.yml")


def test_hook_names_the_driver_and_its_parameters() -> None:
    (spec,) = storagedriver_register_drivers()
    module, _, name = spec.factory.partition(":")
    assert (module, name) == (FilesystemDriver.__module__, FilesystemDriver.__qualname__)
    assert (spec.name, spec.parameters) == (FilesystemDriver.name, FilesystemConfig)


def test_root_that_leaves_no_room_for_paths_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="512 are needed"):
        FilesystemDriver(FilesystemConfig(root_directory=Path("/" + "x" * 3600)))


def test_root_that_no_system_call_takes_is_refused() -> None:
    with pytest.raises(ValidationError, match="a path holds no NUL"):
        FilesystemConfig(root_directory=Path("/a\0b"))


def test_root_is_made_only_if_it_may_be(tmp_path: Path) -> None:
    async def run(*, create: bool) -> None:
        config = FilesystemConfig(root_directory=tmp_path / "a/b", create=create)
        driver = FilesystemDriver(config)
        await driver.open()
        await driver.aclose()

    with pytest.raises(ConfigurationError, match="a/b"):
        asyncio.run(run(create=False))
    assert not (tmp_path / "a").exists()
    asyncio.run(run(create=True))
    assert (tmp_path / "a/b").is_dir()


def test_root_that_cannot_be_made_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")

    def fault(name: str) -> StorageDriverError:
        driver = FilesystemDriver(FilesystemConfig(root_directory=tmp_path / name))
        with pytest.raises(StorageDriverError, match=f"{name}' cannot be made: ") as caught:
            asyncio.run(driver.open())
        return caught.value

    assert isinstance(fault("file/data"), ConfigurationError)

    for code, kind in REFUSALS.items():
        refusal = OSError(code, os.strerror(code))
        monkeypatch.setattr(os, "mkdir", Mock(side_effect=refusal))
        assert type(fault("data")) is kind


def test_modes_are_those_of_the_configuration(root: Path) -> None:
    async def run() -> None:
        config = FilesystemConfig(root_directory=root, file_mode=0o640, directory_mode=0o750)
        driver = FilesystemDriver(config)
        await driver.open()
        await driver.put_content("/a/b", b"", PutOptions())
        await driver.aclose()

    before = os.umask(0o027)
    try:
        asyncio.run(run())
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o750


def test_pickle_gives_an_unopened_driver(root: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/a", b"data", PutOptions())
            other = pickle.loads(pickle.dumps(driver))
        await other.open()
        assert await other.get_content("/a") == b"data"
        await other.aclose()

    asyncio.run(run())


# Later Pythons warn of a fork beside threads, of which the child here uses none.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_keeps_no_lock_of_its_parents_uploads(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as first, opened() as second:
            upload = await first.open_upload("/a", "one", UploadOptions())
            go_on, ended = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(ended)
                os.read(go_on, 1)  # until the parent is done
                os._exit(0)
            first.release_upload(upload)
            try:
                await second.upload_state(upload, 0)
            finally:
                os.close(ended)
                os.waitpid(child, 0)
                os.close(go_on)
            await second.abort_upload(upload)

    asyncio.run(run())


@pytest.mark.parametrize("operation", ["put", "move"])
def test_directory_pruned_before_the_rename_is_made_again(
    operation: str, root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.rename

    def prune_first(*args: Any, **keys: Any) -> None:
        monkeypatch.setattr(os, "rename", original)
        (root / "d/e").rmdir()
        (root / "d").rmdir()
        original(*args, **keys)

    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/x", b"", PutOptions())
            monkeypatch.setattr(os, "rename", prune_first)
            if operation == "put":
                await driver.put_content("/d/e/f", b"", PutOptions())
            else:
                await driver.move("/x", "/d/e/f")
            assert (await driver.stat("/d/e/f")).size == 0

    asyncio.run(run())


def test_refused_write_leaves_no_directory_that_it_made(root: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            with pytest.raises(ConflictError):
                await driver.put_content("/new/a", b"", PutOptions(if_match="other"))
            with pytest.raises(PathNotFoundError):
                await driver.move("/missing", "/new/a")

    asyncio.run(run())
    assert os.listdir(root) == [".storagedriver"]


def test_conditional_moves_across_each_other_do_not_wait_for_ever(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            for name in ("/a/x", "/b/y", "/a/keep", "/b/keep"):
                await driver.put_content(name, b"", PutOptions())
            for _ in range(20):
                await asyncio.gather(
                    driver.move("/a/x", "/b/x", if_absent=True),
                    driver.move("/b/y", "/a/y", if_absent=True),
                )
                await asyncio.gather(
                    driver.move("/b/x", "/a/x", if_absent=True),
                    driver.move("/a/y", "/b/y", if_absent=True),
                )
            with pytest.raises(AlreadyExistsError) as raised:
                await driver.move("/a/x", "/a/keep", if_absent=True)
            assert raised.value.path == "/a/keep"

    asyncio.run(asyncio.wait_for(run(), 120))


def test_versions_of_one_path_never_look_alike(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            infos = [await driver.put_content("/a", b"same", PutOptions()) for _ in range(50)]
            assert len({info.etag for info in infos}) == 50
            times = [info.mod_time for info in infos if info.mod_time]
            assert times == sorted(times)

    asyncio.run(run())


def test_file_cut_short_by_somebody_else_is_an_error(root: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/a", bytes(3 * 1024 * 1024), PutOptions())
            async with await driver.open_reader("/a", ReadOptions()) as stream:
                os.truncate(root / "a", len(await stream.next_chunk()))
                with pytest.raises(UnavailableError):
                    await stream.next_chunk()

    asyncio.run(run())


def test_reader_outlives_its_driver_and_still_closes(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/a", bytes(3 * 1024 * 1024), PutOptions())
            stream = await driver.open_reader("/a", ReadOptions())
        await stream.aclose()
        assert not any("root/a" in _target(fd) for fd in os.listdir("/proc/self/fd"))

    asyncio.run(run())


def test_names_that_no_path_can_spell_are_not_listed(root: Path, opened: Opener) -> None:
    (root / "good").write_bytes(b"")
    with open(os.fsencode(root) + b"/bad\xff", "wb"):
        pass

    async def run() -> None:
        async with opened() as driver:
            shown = [info.path async for page in driver.list("/", ListOptions()) for info in page]
            assert shown == ["/good"]
            await driver.delete("/")

    asyncio.run(run())
    assert os.listdir(root) == []


def test_partial_delete_names_what_failed(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.unlink

    def refuse(name: str, **keys: Any) -> None:
        if name == "held":
            raise PermissionError(1, "held")
        original(name, **keys)

    async def run() -> None:
        async with opened() as driver:
            for path in ("/d/a", "/d/e/held", "/d/e/f"):
                await driver.put_content(path, b"", PutOptions())
            with monkeypatch.context() as patch, pytest.raises(PartialDeleteError) as raised:
                patch.setattr(os, "unlink", refuse)
                await driver.delete("/d")
            assert list(raised.value.failures) == ["/d/e/held"]
            await driver.delete("/d")

    asyncio.run(run())
    assert not (root / "d").exists()


def test_copy_goes_on_without_the_kernels_help(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(18, "EXDEV")

    data = os.urandom(3 * 1024 * 1024 + 7)

    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/a", data, PutOptions())
            monkeypatch.setattr(os, "copy_file_range", refuse)
            await driver.copy("/a", "/b")

    asyncio.run(run())
    assert (root / "b").read_bytes() == data


def test_short_writes_go_on(root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.pwritev
    most = threading.local()

    def short(fd: int, buffers: list[memoryview], offset: int) -> int:
        assert len(buffers) <= 1024
        most.value = 1 + getattr(most, "value", 0) % 7
        return original(fd, [buffers[0][: most.value]], offset)

    pieces = [bytes([n % 256]) * (n % 13) for n in range(3000)]

    async def run() -> None:
        async with opened() as driver:
            upload = await driver.open_upload("/a", "one", UploadOptions())
            monkeypatch.setattr(os, "pwritev", short)
            part = await driver.put_part(upload, 1, 0, pieces)
            assert part.size == sum(map(len, pieces))
            driver.release_upload(upload)

    asyncio.run(run())
    (staged,) = (root / ".storagedriver/uploads").iterdir()
    assert staged.read_bytes() == b"".join(pieces)


def test_writes_are_short_enough_for_memory_that_was_used_before(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, sizes = os.pwritev, []

    def write(fd: int, buffers: list[memoryview], offset: int) -> int:
        sizes.append(sum(map(len, buffers)))
        return original(fd, buffers, offset)

    pieces = [os.urandom(size) for size in (5, 700_001, 262_144, 0, 100_000, 1_048_576, 1)]

    async def run() -> None:
        async with opened() as driver:
            upload = await driver.open_upload("/a", "one", UploadOptions())
            monkeypatch.setattr(os, "pwritev", write)
            await driver.put_part(upload, 1, 0, pieces)
            driver.release_upload(upload)

    asyncio.run(run())
    whole = b"".join(pieces)
    assert max(sizes) == 256 * 1024
    assert len(sizes) == -(-len(whole) // max(sizes))
    (staged,) = (root / ".storagedriver/uploads").iterdir()
    assert staged.read_bytes() == whole


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def test_empty_root_directory_is_not_the_current_one() -> None:
    with pytest.raises(ValueError, match="it is empty"):
        FilesystemConfig.model_validate({"root_directory": ""})
