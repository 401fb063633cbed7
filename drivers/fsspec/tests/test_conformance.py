"""The shared suite on four protocols, bare and through each middleware."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_fsspec.harness import (
    LocalHarness,
    MemoryHarness,
    SftpHarness,
    WebdavHarness,
)
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness, suite_for

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
    def harness(self, sshd: Sshd, sftp_options: dict[str, object]) -> Harness:
        return SftpHarness(sshd.files, {"protocol": "sftp", "options": sftp_options})


def webdav(server: RcloneWebDav | WsgiDav) -> Harness:
    options = {"base_url": server.url, "auth": [server.user, server.password]}
    return WebdavHarness(server.files, {"protocol": "webdav", "options": options})


# True of the protocol, whichever the server.
WEBDAV = {
    "F03": "the protocol has no checksum: what is damaged on its way is stored as it came",
}
NO_STAMP = "it answers that it keeps a property, and forgets it: whose an object is cannot be told"


class TestWebdavOnRclone(DriverSuite):
    label = "fsspec on rclone's WebDAV"
    deviations: ClassVar[Mapping[str, str]] = {
        **WEBDAV,
        **dict.fromkeys(["F05", "W35"], NO_STAMP),
        "N22": "it takes the two spellings of a name for one",
    }
    removed: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ["K04", "K05"],
            "it answers 500 to a look or a put now and then, while another replaces",
        ),
        **dict.fromkeys(
            ["L26", "P02"],
            "it breaks off a listing whose entries vanish, or are replaced, meanwhile",
        ),
    }

    @pytest.fixture
    def harness(self, rclone_webdav: RcloneWebDav) -> Harness:
        return webdav(rclone_webdav)


# With the tests of full size: rclone is the WebDAV of `make test`, and a second server would take
# four more minutes there.
@pytest.mark.large
class TestWebdavOnWsgidav(DriverSuite):
    label = "fsspec on wsgidav"
    deviations: ClassVar[Mapping[str, str]] = {
        **WEBDAV,
        **dict.fromkeys(
            ["D08", "N05", "N08"],
            "it reads `?` and `&amp;` in the target of a MOVE as more than text",
        ),
    }
    removed: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ["K04", "K05", "L26", "P02"],
            "it answers 500 where what a request is about vanishes, or is replaced, meanwhile",
        ),
    }

    @pytest.fixture
    def harness(self, wsgidav: WsgiDav) -> Harness:
        return webdav(wsgidav)


TestThroughDefaultStack = suite_for(
    DriverSuite, "fsspec", through=["prefix", "retry", "limit", "timeout"]
)
TestBenchmarks = suite_for(DriverBenchmarks, "fsspec")
