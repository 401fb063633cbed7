"""Images made by umoci and copied by skopeo, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.tests.client import OCI_INDEX, sha256

Program = Callable[[str], str]


class Images:
    """OCI image layouts in a folder, and copies of them to and from registries."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def make(self, name: str, layers: Sequence[int]) -> str:
        """Make an image with a layer of random bytes of each size; give its skopeo name."""
        contents: dict[str, Path] = {}
        for index, size in enumerate(layers):
            content = self._folder / f"{name}-{index}.bin"
            content.write_bytes(os.urandom(size))
            contents[f"/data/{index}.bin"] = content
        return self._make(name, contents)

    def _make(self, name: str, contents: Mapping[str, Path]) -> str:
        """Make an image with a layer for each file, which is removed."""
        image = f"{self._folder / name}:v1"
        self._run("umoci", "init", "--layout", str(self._folder / name))
        self._run("umoci", "new", "--image", image)
        for path, content in contents.items():
            self._run("umoci", "insert", "--rootless", "--image", image, str(content), path)
            content.unlink()
        return f"oci:{image}"

    def make_runnable(self, name: str) -> str:
        """Make an image with a program that does much, /bin/busybox; give its skopeo name."""
        content = self._folder / f"{name}.bin"
        # It is one file without libraries.
        command = [self._program("busybox"), "cat", "/proc/self/exe"]
        content.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
        content.chmod(0o755)
        return self._make(name, {"/bin/busybox": content})

    def make_index(self, name: str, platforms: Sequence[str] = ("amd64", "arm64")) -> str:
        """Make an index of small images, one for each architecture; give its skopeo name."""
        layout = self._folder / name
        for platform in platforms:
            self.make(f"{name}-{platform}", (1,))
            made = f"{self._folder / name}-{platform}:v1"
            self._run("umoci", "config", "--image", made, f"--architecture={platform}")
            self.copy(f"oci:{made}", f"oci:{layout}:{platform}")
        path = layout / "index.json"
        listed = json.loads(path.read_bytes())
        members = [
            {
                **{key: value for key, value in member.items() if key != "annotations"},
                "platform": {"os": "linux", "architecture": platform},
            }
            for platform, member in zip(platforms, listed["manifests"], strict=True)
        ]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": members}
        data = json.dumps(index).encode()
        algorithm, _, encoded = sha256(data).partition(":")
        (layout / "blobs" / algorithm / encoded).write_bytes(data)
        listed["manifests"] = [
            {
                "mediaType": OCI_INDEX,
                "digest": sha256(data),
                "size": len(data),
                "annotations": {"org.opencontainers.image.ref.name": "all"},
            }
        ]
        path.write_text(json.dumps(listed))
        return f"oci:{layout}:all"

    def copy(self, source: str, target: str, *options: str) -> None:
        self._run("skopeo", *self.copy_command(source, target, *options)[1:])

    def copy_command(self, source: str, target: str, *options: str) -> list[str]:
        plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        return [self._program("skopeo"), "copy", "--quiet", *plain, *options, source, target]

    def pulled(self, source: str, name: str) -> str:
        """Copy an image from a registry to a directory, as it is; give its skopeo name."""
        target = f"dir:{self._folder / name}"
        self.copy(source, target)
        return target

    def skopeo(self, command: str, image: str, *options: str) -> str:
        plain = [] if not image.startswith("docker:") else ["--tls-verify=false"]
        return self._run("skopeo", command, *plain, *options, image)

    def manifest(self, image: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.skopeo("inspect", image, "--raw"))
        return document

    def digest(self, image: str) -> str:
        return self.skopeo("inspect", image, "--format", "{{.Digest}}").strip()

    def layers(self, image: str) -> list[str]:
        """Give the digests of the layers."""
        return [layer["digest"] for layer in self.manifest(image)["layers"]]

    def _run(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._program(name), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{name} {' '.join(arguments)}:\n{done.stderr}"
        return done.stdout
