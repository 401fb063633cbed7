"""Images made by umoci and copied by skopeo, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Program = Callable[[str], str]


class Images:
    """OCI image layouts in a folder, and copies of them to and from registries."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def make(self, name: str, layers: Sequence[int]) -> str:
        """Make an image with a layer of random bytes of each size; give its skopeo name."""
        image = f"{self._folder / name}:v1"
        self._run("umoci", "init", "--layout", str(self._folder / name))
        self._run("umoci", "new", "--image", image)
        for index, size in enumerate(layers):
            content = self._folder / f"{name}-{index}.bin"
            content.write_bytes(os.urandom(size))
            self._run(
                *("umoci", "insert", "--rootless", "--image", image),
                *(str(content), f"/data/{index}.bin"),
            )
            content.unlink()
        return f"oci:{image}"

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
