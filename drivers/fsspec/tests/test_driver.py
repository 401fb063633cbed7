"""The driver beside the suite: what it refuses, what it hides, and what it leaves alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec import AbstractFileSystem, register_implementation
from fsspec.implementations.memory import MemoryFileSystem
from storagedriver_fsspec._config import FsspecConfig
from storagedriver_fsspec._driver import BlockingFsspecDriver, fsspec_driver

from servers.rclone_webdav import RcloneWebDav
from servers.sshd import Sshd
from storagedriver_core import (
    AuthenticationError,
    ConfigurationError,
    FileInfo,
    Storage,
    StorageDriver,
    UnavailableError,
    UnsupportedMethodError,
    load_config,
    open_storage,
)

SECRET = "hunter2-and-nobody-else"


def driver(protocol: str, root: object, **settings: Any) -> StorageDriver:
    options = settings.pop("options", {})
    config = {"protocol": protocol, "root_directory": str(root), "options": options, **settings}
    return fsspec_driver(FsspecConfig.model_validate(config))


def test_unknown_protocol_is_refused_with_those_that_fsspec_knows() -> None:
    with pytest.raises(ConfigurationError, match=r"'gopher'.*sftp.*webdav"):
        driver("gopher", "/")


def test_protocol_whose_package_is_missing_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="boxfs"):
        driver("box", "/")


def test_options_that_the_class_does_not_take_are_named_without_their_values(
    tmp_path: Path,
) -> None:
    async def use() -> None:
        async with Storage(driver("webdav", "/", options={"base_url": 7, "auth": SECRET})):
            pass

    with pytest.raises(ConfigurationError) as refused:
        asyncio.run(use())
    assert "auth" in str(refused.value) and SECRET not in str(refused.value)


def opening(tmp_path: Path, protocol: str, options: dict[str, Any]) -> str:
    """Give what opening a storage says of its configuration, and where; without the file's name."""
    lines = [f"      {name}: {json.dumps(value)}" for name, value in options.items()]
    head = f"""storage:
  driver: fsspec
  parameters:
    protocol: {protocol}
    root_directory: bucket/x
    options:
"""
    file = tmp_path / "storage.yml"
    file.write_text(head + "\n".join(lines))

    async def use() -> None:
        async with open_storage(file):
            pass

    with pytest.raises(ConfigurationError) as refused:
        asyncio.run(use())
    assert SECRET not in str(refused.value)
    assert refused.value.driver_name == "fsspec" and refused.value.operation == "open"
    start = f"{file}:"
    assert refused.value.message.startswith(start)
    return refused.value.message.removeprefix(start)


def test_option_that_is_not_known_is_told_with_its_line_and_the_class(tmp_path: Path) -> None:
    of_webdav = {"base_url": "http://127.0.0.1:1", "colour": SECRET}
    key = "storage.parameters.options"
    expected = f"8: {key}.colour: WebdavFileSystem takes no option 'colour'"
    assert opening(tmp_path, "webdav", of_webdav) == expected
    of_sftp = {"colour": SECRET, "host": "127.0.0.1"}
    expected = f"7: {key}.colour: SFTPFileSystem takes no option 'colour'"
    assert opening(tmp_path, "sftp", of_sftp) == expected


def test_option_that_is_missing_or_of_no_use_is_told_with_the_class(tmp_path: Path) -> None:
    key = "storage.parameters.options"
    of_sftp = {"password": SECRET}
    expected = f"6: {key}: SFTPFileSystem needs 'host'"
    assert opening(tmp_path, "sftp", of_sftp) == expected
    of_sftp = {"host": "127.0.0.1", "port": SECRET}
    expected = f"6: {key}: SFTPFileSystem does not take these options: port"
    assert opening(tmp_path, "sftp", of_sftp) == expected
    # Known only when its session is made.
    of_s3 = {"key": "a", "secret": SECRET, "client_kwargs": {"colour": 1}}
    said = opening(tmp_path, "s3", of_s3)
    assert said.startswith(f"6: {key}: S3FileSystem does not take these options: ")
    assert "client_kwargs" in said


def test_options_show_nowhere(tmp_path: Path) -> None:
    options = {"password": SECRET, "nested": {"deep": [SECRET]}, "port": 22}
    parameters = {"protocol": "sftp", "root_directory": "/x", "options": options}
    document = {"storage": {"driver": "fsspec", "parameters": parameters}}
    config = load_config(document)
    made = driver("sftp", "/x", options=options)
    shown = [repr(config), config.to_yaml(), repr(config.settings()), repr(config.parameters)]
    shown += [repr(made), str(config.parameters), repr(open_storage(document))]
    assert not any(SECRET in text for text in shown)
    revealed = config.to_mapping(reveal_secrets=True)["storage"]["parameters"]
    assert revealed["options"] == options


def test_option_of_a_file_is_read_from_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    options = {"password": f"file:{tmp_path}/secret"}
    parameters = {"protocol": "sftp", "root_directory": "/x", "options": options}
    config = load_config({"storage": {"driver": "fsspec", "parameters": parameters}})
    assert config.to_mapping(reveal_secrets=True)["storage"]["parameters"]["options"] == {
        "password": SECRET
    }


def test_nothing_is_imported_until_a_driver_is_constructed() -> None:
    code = """
import sys
import storagedriver_fsspec.hooks
from storagedriver_core import load_plugins
load_plugins().driver("fsspec")
from storagedriver_fsspec import _config
sdks = {"fsspec", "paramiko", "httpx", "webdav4", "s3fs"}
assert not sdks & set(sys.modules), sdks & set(sys.modules)
import storagedriver_fsspec._driver as made
assert not sdks & set(sys.modules), sdks & set(sys.modules)
config = _config.FsspecConfig(protocol="memory", root_directory="/x")
made.fsspec_driver(config)
assert "fsspec" in sys.modules and not {"paramiko", "httpx", "s3fs"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


class Plain(MemoryFileSystem):  # type: ignore[misc]  # fsspec is untyped
    """A filesystem that the table does not name, and that counts who is inside."""

    protocol = "plain"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    inside = most = 0

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> bytes:
        Plain.inside += 1
        Plain.most = max(Plain.most, Plain.inside)
        threading.Event().wait(0.002)
        Plain.inside -= 1
        data: bytes = super().cat_file(path, start, end)
        return data


@pytest.fixture
def plain() -> type[AbstractFileSystem]:
    register_implementation("plain", Plain, clobber=True)
    Plain.store.clear()
    Plain.pseudo_dirs[:] = [""]
    Plain.most = 0
    return Plain


def test_filesystem_that_the_table_does_not_name_serves_the_plain_operations(
    plain: type[AbstractFileSystem],
) -> None:
    async def use() -> None:
        async with Storage(driver("plain", "/root")) as storage:
            await storage.put_content("/a/b", b"content")
            await storage.put_content("/a/b", b"other")
            assert await storage.get_content("/a/b") == b"other"
            assert (await storage.stat("/a/b")).size == 5
            assert [info.path async for info in storage.walk("/")] == ["/a/b"]
            await storage.move("/a/b", "/c")
            await storage.delete("/c")
            assert [info async for info in storage.walk("/")] == []
            with pytest.raises(UnsupportedMethodError):
                await storage.writer("/a")

    asyncio.run(use())


def test_many_files_of_one_directory_are_deleted_without_a_look_at_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = driver("file", tmp_path)
    assert isinstance(made, BlockingFsspecDriver)
    looked: list[str] = []
    info = made._objects.files.info

    async def watched(path: str) -> FileInfo:
        looked.append(path)
        return await info(path)

    async def use() -> None:
        async with Storage(made) as storage:
            files = [f"/a/b/{number}" for number in range(40)]
            for path in [*files, "/a/c/below", "/d"]:
                await storage.put_content(path, b"content")
            monkeypatch.setattr(made._objects.files, "info", watched)
            report = await storage.delete_many([*files, "/a/b/missing", "/a/c", "/a/b/0"])
            assert report.deleted == (*files, "/a/c")
            assert report.missing == ("/a/b/missing", "/a/b/0") and not report.failed
            assert set(looked) == {"/a/b/missing", "/a/c"}

    asyncio.run(use())
    # What has become empty is gone.
    assert [each.name for each in tmp_path.iterdir() if each.name[0] != "."] == ["d"]


class NeverReplaces(Plain):
    """A filesystem whose rename gives no name that is taken, and none in a missing directory.

    Attributes:
        failing: What becomes of renames to come: "" it is made, "before" the connection breaks and
            it is not made, "after" the connection breaks when it is made.
    """

    protocol = "never-replaces"
    failing: ClassVar[list[str]] = []

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if self.exists(path2):
            raise FileExistsError(path2)
        if not self.isdir(self._parent(path2)):
            raise FileNotFoundError(path2)
        failing = NeverReplaces.failing.pop(0) if NeverReplaces.failing else ""
        if failing != "before":
            self.store[path2] = self.store.pop(path1)
        if failing:
            raise ConnectionResetError


@pytest.fixture
def never_replaces(plain: type[AbstractFileSystem]) -> None:
    register_implementation("never-replaces", NeverReplaces, clobber=True)
    NeverReplaces.failing.clear()


@pytest.mark.usefixtures("never_replaces")
def test_store_that_never_replaces_is_overwritten_all_the_same() -> None:
    async def use() -> None:
        async with Storage(driver("never-replaces", "/root")) as storage:
            await storage.put_content("/a/b", b"old")
            await storage.put_content("/a/b", b"new")
            assert await storage.get_content("/a/b") == b"new"
            await storage.put_content("/c", b"newer")
            await storage.move("/c", "/a/b")
            assert await storage.get_content("/a/b") == b"newer"

    asyncio.run(use())
    assert list(Plain.store) == ["/root/a/b"]


@pytest.mark.parametrize(
    ("failing", "left", "outcome"),
    [
        # The old file is set aside, the new one gets its name, the old one gets it back.
        (["", "before"], {"/a": b"old"}, "unknown"),
        (["", "after"], {"/a": b"new"}, "unknown"),
        (["before"], {"/a": b"old"}, "unknown"),
        (["after"], {"/a": b"old"}, "unknown"),
        (["", "before", "before"], {"kept": b"old"}, "unknown"),
    ],
)
@pytest.mark.usefixtures("never_replaces")
def test_overwrite_that_fails_loses_nothing(
    failing: list[str], left: dict[str, bytes], outcome: str
) -> None:
    async def use() -> None:
        async with Storage(driver("never-replaces", "/root")) as storage:
            await storage.put_content("/a", b"old")
            NeverReplaces.failing[:] = failing
            with pytest.raises(UnavailableError) as failed:
                await storage.put_content("/a", b"new")
            assert failed.value.outcome == outcome

    asyncio.run(use())
    found = {path.removeprefix("/root"): each.getvalue() for path, each in Plain.store.items()}
    if "kept" in left:
        [(path, data)] = found.items()
        assert path.startswith("/.storagedriver/puts/kept-") and path.endswith("+a")
        assert data == left["kept"]
    else:
        assert found == left


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (4, 1)])
def test_library_for_one_thread_is_called_by_one(
    most: int, expected: int, plain: type[AbstractFileSystem]
) -> None:
    async def use() -> None:
        async with Storage(driver("plain", "/root", max_threads=most)) as storage:
            await storage.put_content("/a", b"content")
            await asyncio.gather(*(storage.get_content("/a") for _ in range(16)))

    asyncio.run(use())
    assert Plain.most == expected


def test_threads_are_no_more_than_configured(tmp_path: Path) -> None:
    async def use() -> int:
        async with Storage(driver("file", tmp_path, max_threads=3)) as storage:
            await storage.put_content("/a", b"content")
            await asyncio.gather(*(storage.get_content("/a") for _ in range(64)))
            return sum("storagedriver-blocking" in each.name for each in threading.enumerate())

    assert 1 <= asyncio.run(use()) <= 3


def test_missing_root_is_made_or_refused(tmp_path: Path) -> None:
    async def use(*, create: bool) -> None:
        async with Storage(driver("file", tmp_path / "a" / "b", create=create)):
            pass

    with pytest.raises(ConfigurationError):
        asyncio.run(use(create=False))
    asyncio.run(use(create=True))
    assert (tmp_path / "a" / "b").is_dir()


def test_wrong_password_of_webdav_is_an_authentication_error(rclone_webdav: RcloneWebDav) -> None:
    options = {"base_url": rclone_webdav.url, "auth": ["nobody", SECRET]}

    async def use() -> None:
        async with Storage(driver("webdav", "/x", options=options)):
            pass

    with pytest.raises(AuthenticationError) as refused:
        asyncio.run(use())
    assert SECRET not in str(refused.value)


def test_wrong_password_of_sftp_is_an_authentication_error(
    sshd: Sshd, sftp_options: dict[str, object]
) -> None:
    options = {**sftp_options, "password": SECRET}
    del options["key_filename"]

    async def use() -> None:
        async with Storage(driver("sftp", sshd.files, options=options)):
            pass

    with pytest.raises(AuthenticationError) as refused:
        asyncio.run(use())
    assert SECRET not in str(refused.value)


def test_sftp_server_that_is_not_there_is_unavailable(sftp_options: dict[str, object]) -> None:
    async def use() -> None:
        async with Storage(driver("sftp", "/", options={**sftp_options, "port": 1})):
            pass

    with pytest.raises(UnavailableError) as refused:
        asyncio.run(use())
    assert refused.value.outcome == "none"
