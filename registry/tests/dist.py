"""Running `dist`, in this process or in one of its own, and images for it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from storagedriver_registry.client.commands.cli import app
from typer.testing import CliRunner

from registry.tests.client import OCI_INDEX, OCI_MANIFEST, sha256
from registry.tests.serving import eventually

DIST = str(Path(sys.executable).with_name("dist"))
PATIENCE = 120
"""Seconds that any command has, however slow the machine is."""

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def dist(*arguments: str | Path, code: int = 0, text: str = "") -> str:
    """Run a command in this process, which is quicker; give what it printed, errors included."""
    done = CliRunner().invoke(app, [str(one) for one in arguments], input=text)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, f"{arguments}: {done.exit_code}\n{done.output}"
    return done.output


def dist_json(*arguments: str | Path) -> Any:
    """Run a command with `--json`; give what it printed."""
    return json.loads(dist(*arguments, "--json"))


def started(*arguments: str | Path, home: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own, with a home of its own."""
    return subprocess.Popen(
        [DIST, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home)},
    )


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what a process of its own does."""
    eventually(is_so, seconds=PATIENCE)


class Layout:
    """An OCI layout that is made by hand, so that nothing under test has made it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self._listed: list[dict[str, Any]] = []

    def add(self, data: bytes, media_type: str, **others: Any) -> dict[str, Any]:
        """Add a blob or manifest, and give its descriptor."""
        (self._blobs / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **others}

    def image(self, *sizes: int, architecture: str = "amd64") -> dict[str, Any]:
        """Add an image with a layer of random bytes of each size; give its descriptor."""
        layers, diff_ids = [], []
        for size in sizes:
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w") as archive:
                member = tarfile.TarInfo("data.bin")
                member.size = size
                archive.addfile(member, io.BytesIO(os.urandom(size)))
            diff_ids.append(sha256(file.getvalue()))
            layers.append(self.add(gzip.compress(file.getvalue(), 1), _LAYER))
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.add(json.dumps(config).encode(), _CONFIG),
            "layers": layers,
        }
        return self.add(json.dumps(manifest).encode(), OCI_MANIFEST)

    def index(self, *architectures: str) -> dict[str, Any]:
        """Add an index of small images; give its descriptor."""
        members = [
            self.image(1000, architecture=one) | {"platform": {"os": "linux", "architecture": one}}
            for one in architectures
        ]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": members}
        return self.add(json.dumps(index).encode(), OCI_INDEX)

    def name(self, descriptor: Mapping[str, Any], name: str) -> str:
        """Name an image; give the name of it for `dist` and for skopeo."""
        annotations = {"org.opencontainers.image.ref.name": name}
        self._listed.append({**descriptor, "annotations": annotations})
        index = {"schemaVersion": 2, "manifests": self._listed}
        (self.folder / "index.json").write_text(json.dumps(index))
        return f"oci:{self.folder}:{name}"
