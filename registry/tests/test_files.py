"""Files that are written whole, or not at all, and stay readable for whom they were."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from storagedriver_registry.auth.htpasswd_users import add_user, remove_user
from storagedriver_registry.files import make_file, replace_file
from storagedriver_registry.token_server.signing import Signer, load_or_make_key

from storagedriver_core import ConfigurationError

WRITERS: list[Callable[[Path, bytes], object]] = [make_file, replace_file]


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o644])
def test_password_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "users"
    add_user(path, "alice", "wonderland", cost=4)
    path.chmod(mode)
    add_user(path, "bob", "builder", cost=4)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    remove_user(path, "alice")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_file_keeps_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    os.chown(path, 1234, 5678)
    replace_file(path, b"new")
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (1234, 5678)
    assert stat.S_IMODE(status.st_mode) == 0o640


def test_another_group_than_before_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o664)
    old, fstat = path.stat(), os.fstat

    def of_another_group(descriptor: int) -> os.stat_result:
        values = list(fstat(descriptor))
        values[stat.ST_GID] = old.st_gid + 1
        return os.stat_result(values)

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "fstat", of_another_group)
    replace_file(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_first_file_stays_where_one_is_made(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert make_file(path, b"first")
    assert not make_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("write", WRITERS)
def test_file_and_its_name_are_durable(
    tmp_path: Path, write: Callable[[Path, bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced, fsync = tmp_path / "file", list[str](), os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        assert path.exists() == (len(synced) > 1)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write(path, b"content")
    assert len(synced) == 2
    assert synced[1] == str(tmp_path.resolve())


@pytest.mark.parametrize("write", WRITERS)
def test_nothing_is_left_of_a_write_that_failed(
    tmp_path: Path, write: Callable[[Path, bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_key_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = load_or_make_key(tmp_path / "key.pem", "ES256")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigurationError, match=r"other\.pem: No space"):
        load_or_make_key(tmp_path / "other.pem", "ES256")
    with pytest.raises(ConfigurationError, match=r"keys\.json: No space"):
        Signer(key, "ES256", "thumbprint").publish_jwks(tmp_path / "keys.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]
