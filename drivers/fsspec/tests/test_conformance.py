"""The shared suite on four protocols, bare and through each middleware."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_fsspec.harness import (
    LocalHarness,
    MemoryHarness,
    SftpHarness,
    WebdavHarness,
)
from storagedriver_testsuite import DriverSuite, Harness

from servers.rclone_webdav import RcloneWebDav
from servers.sshd import Sshd
from servers.wsgidav import WsgiDav


class TestLocal(DriverSuite):
    label = "fsspec on local files"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return LocalHarness(tmp_path)


class TestMemory(DriverSuite):
    label = "fsspec in memory"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return MemoryHarness(tmp_path)


class TestSftp(DriverSuite):
    label = "fsspec on OpenSSH"

    @pytest.fixture
    def harness(self, sshd: Sshd) -> Harness:
        options = {
            "host": sshd.host,
            "port": sshd.port,
            "username": sshd.user,
            "key_filename": str(sshd.key_file),
            "look_for_keys": False,
            "allow_agent": False,
        }
        return SftpHarness(sshd.files, {"protocol": "sftp", "options": options})


def webdav(server: RcloneWebDav | WsgiDav) -> Harness:
    options = {"base_url": server.url, "auth": [server.user, server.password]}
    return WebdavHarness(server.files, {"protocol": "webdav", "options": options})


class TestWebdavOnRclone(DriverSuite):
    label = "fsspec on rclone's WebDAV"

    @pytest.fixture
    def harness(self, rclone_webdav: RcloneWebDav) -> Harness:
        return webdav(rclone_webdav)


class TestWebdavOnWsgidav(DriverSuite):
    label = "fsspec on wsgidav"

    @pytest.fixture
    def harness(self, wsgidav: WsgiDav) -> Harness:
        return webdav(wsgidav)
