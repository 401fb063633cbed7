"""Clients that people have, each with a home of its own, as they meet a registry of any kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from registry.tests.sites import Site


class CommandLineClient:
    """skopeo or buildah: who is logged in is its own, and so is whom it trusts.

    Args:
        command: The program, and the options that all its commands take.
        site: The registry that it speaks to.
        home: A folder for its files, which is made.
        trusted: A folder with certificates of authorities; None for those that the machine trusts.
    """

    def __init__(
        self, command: Sequence[str], site: Site, home: Path, trusted: Path | None
    ) -> None:
        home.mkdir(parents=True)
        # buildah wants it to be there.
        (home / "auth.json").write_text("{}")
        self._command = command
        self._site = site
        self._trusted = trusted
        self._environment = os.environ | {
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_RUNTIME_DIR": str(home),
            "REGISTRY_AUTH_FILE": str(home / "auth.json"),
        }

    def trust(self, *sides: str) -> list[str]:
        """Give the options that say whom to trust, for a command's `src`, `dest`, or both ends."""
        value = f"cert-dir={self._trusted}"
        if self._site.kind.scheme == "http":
            value = "tls-verify=false"
        elif self._trusted is None:
            return []
        return [f"--{side}-{value}" for side in sides] or [f"--{value}"]

    def tried(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command that may fail.

        Args:
            arguments: The command and what it takes.
            text: What it reads.
        """
        return subprocess.run(
            [*self._command, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
            env=self._environment,
        )

    def run(self, *arguments: str, text: str = "") -> str:
        """Run a command that must not fail; give what it said."""
        done = self.tried(*arguments, text=text)
        assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refusal(self, *arguments: str, text: str = "") -> str:
        """Run a command that must fail; give what it said."""
        done = self.tried(*arguments, text=text)
        assert done.returncode != 0, f"{' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def login(self) -> None:
        """Log in, where that is needed."""
        if self._site.user is not None:
            self.run(*self.login_command(), text=self._site.user[1])

    def login_command(self) -> list[str]:
        """Give the command, which reads the password."""
        assert self._site.user is not None
        name, _ = self._site.user
        options = [*self.trust(), f"--username={name}", "--password-stdin"]
        return ["login", *options, self._site.host]


class Skopeo(CommandLineClient):
    """skopeo."""

    def __init__(self, program: str, site: Site, home: Path, *, trusting: bool = True) -> None:
        super().__init__([program], site, home, site.trusted if trusting else None)

    def copy(self, source: str, target: str, *options: str) -> None:
        self.run(*self.copy_command(source, target, *options))

    def copy_command(self, source: str, target: str, *options: str) -> list[str]:
        return ["copy", "--quiet", *self.trust("src", "dest"), *options, source, target]

    def raw(self, image: str) -> str:
        """Give a manifest or index, byte for byte."""
        return self.run("inspect", *self.trust(), "--raw", image)

    def digest(self, image: str) -> str:
        return self.run("inspect", *self.trust(), "--format={{.Digest}}", image).strip()


class Buildah(CommandLineClient):
    """buildah, with a store of its own."""

    def __init__(self, program: str, site: Site, home: Path, *, trusting: bool = True) -> None:
        folders = [f"--root={home / 'root'}", f"--runroot={home / 'run'}"]
        command = [program, *folders, "--storage-driver=vfs"]
        super().__init__(command, site, home, site.trusted if trusting else None)
