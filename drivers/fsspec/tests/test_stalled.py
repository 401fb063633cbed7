"""Readers that nobody reads on: they hold no other request up."""

from __future__ import annotations

from storagedriver_fsspec.harness import WebdavHarness
from storagedriver_testsuite.stalled import run_stalled

from servers.rclone_webdav import RcloneWebDav


def test_stalled_readers_over_webdav_hold_nobody_up(rclone_webdav: RcloneWebDav) -> None:
    server = rclone_webdav
    options = {"base_url": server.url, "auth": [server.user, server.password]}
    harness = WebdavHarness(server.files, {"protocol": "webdav", "options": options})
    # Two readers for each: more than a pool of httpx has connections, unless it is told otherwise.
    run_stalled(harness, connections=51)
