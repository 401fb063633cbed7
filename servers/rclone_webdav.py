"""rclone's WebDAV server. It ignores preconditions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import ClassVar

from servers._process import HOST
from servers._webdav import WebDavServer


class RcloneWebDav(WebDavServer):
    """`rclone serve webdav`."""

    program: ClassVar[str] = "rclone"

    def arguments(self) -> Sequence[str]:
        """Give the options."""
        address = ["--addr", f"{HOST}:{self.port}", "--user", self.user, "--pass", self.password]
        kind = ["--vfs-cache-mode", "off", "--etag-hash", "MD5"]
        return ["serve", "webdav", *address, *kind, str(self.files)]

    def environment(self) -> Mapping[str, str]:
        """Keep the configuration of whoever runs the tests away."""
        return {"RCLONE_CONFIG": os.devnull}
