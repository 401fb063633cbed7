"""SeaweedFS: an S3 store that checks signatures and checksums, and whose conditional put is atomic.

Its key space is that of a filesystem.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from servers._process import HOST
from servers._s3 import S3Server

_PARTS = ("s3", "master", "volume", "filer", "admin")


class SeaweedFS(S3Server):
    """`weed mini`: master, volumes, filer and S3 in one process."""

    program: ClassVar[str] = "weed"
    port_count: ClassVar[int] = 5
    # Its worker looks for the admin server's gRPC there, whatever `admin.port.grpc` says; without
    # its worker it never takes back the space of what was deleted.
    companion: ClassVar[int] = 10_000
    # It waits a moment for its parts to say goodbye to each other.
    stop_seconds: ClassVar[float] = 10.0

    def arguments(self) -> Sequence[str]:
        """Write who may do what, and give every port: the defaults are fixed numbers."""
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        identities = self.directory / "identities.json"
        identities.write_text(json.dumps(self._identities()), encoding="utf-8")
        kinds = [f"{name}.port{kind}" for kind in ("", ".grpc") for name in _PARTS]
        options = {
            "dir": data,
            "ip": HOST,
            "ip.bind": HOST,
            **dict(zip(kinds, self.ports, strict=True)),
            # 0 means none.
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "webdav": "false",
            "admin.ui": "false",
            "s3.config": identities,
            # Below the working directory: the full path may be too long for a socket's name.
            "filer.localSocket": "filer.sock",
            "s3.localSocket": "s3.sock",
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "false",
            "master.telemetry": "false",
            # With the default of ten it may find its volumes only 5 to 15 s after a restart.
            "master.electionTimeout": "1s",
            # Each bucket takes some volumes for itself, and there are many small buckets in tests.
            # A volume is a file that grows, so neither number takes space by itself.
            "volume.max": 10_000,
            "master.volumeSizeLimitMB": 1024,
        }
        # To standard error alone, which is our log; its files would lie in /tmp.
        return ["-logtostderr", "mini", *(f"-{name}={value}" for name, value in options.items())]

    def environment(self) -> Mapping[str, str]:
        """Give the first identity once more: without it the server makes up one of its own."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def strays(self) -> Sequence[Path]:
        """Name the sockets by which its parts speak to each other: it forgets some at its end."""
        ports = self.ports[self.port_count :]
        return [
            Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock")  # fixed in the program
            for name, port in zip(_PARTS, ports, strict=True)
        ]

    def _identities(self) -> dict[str, Any]:
        keys = {
            "admin": (self.access_key, self.secret_key),
            "other": (self.other_access_key, self.other_secret_key),
        }
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return {
            "identities": [
                {
                    "name": name,
                    "credentials": [{"accessKey": access, "secretKey": secret}],
                    "actions": actions,
                }
                for name, (access, secret) in keys.items()
            ]
        }
