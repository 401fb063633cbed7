"""OpenSSH's server, for SFTP."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers._process import HOST, Server, program

# Where Debian's sshd locks up the process that talks to strangers, if it runs as root.
EMPTY = Path("/run/sshd")
NOBODY = 65534
SETTINGS = """
ListenAddress {host}
Port {port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/key.pub
PidFile none
Subsystem sftp internal-sftp
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
# The directory belongs to whoever runs the tests, and so may its parents.
StrictModes no
UsePAM no
UseDNS no
MaxStartups 100:30:200
MaxSessions 100
"""


class Sshd(Server):
    """`sshd` with one user, who has the rights of whoever starts it: root or anybody else.

    Attributes:
        host: The address.
        user: The name to log in with. No such user is needed on the machine.
    """

    program: ClassVar[str] = "sshd"
    host = HOST
    user = "tester"

    @property
    def url(self) -> str:
        """The address as clients of many schemes write it."""
        return f"sftp://{self.user}@{HOST}:{self.port}"

    @property
    def key_file(self) -> Path:
        """The private key to log in with."""
        return self.directory / "key"

    @property
    def host_key(self) -> Path:
        """The server's public key."""
        return self.directory / "host_key.pub"

    @property
    def files(self) -> Path:
        """The user's home, for files; made on the way."""
        path = self.directory / "files"
        path.mkdir(exist_ok=True, parents=True)
        return path

    def facts(self) -> Mapping[str, str]:
        """Give the address, the key and the folder."""
        return {"url": self.url, "key file": str(self.key_file), "files": str(self.files)}

    def arguments(self) -> Sequence[str]:
        """Write keys, users and settings."""
        self._write_users()
        self._make_key(self.key_file)
        self._make_key(self.host_key.with_suffix(""))
        if os.getuid() == 0:
            EMPTY.mkdir(mode=0o755, exist_ok=True)
        settings = SETTINGS.format(host=HOST, port=self.port, directory=self.directory)
        path = self.directory / "sshd_config"
        path.write_text(settings, encoding="utf-8")
        return ["-D", "-e", "-f", str(path)]

    def environment(self) -> Mapping[str, str]:
        """Name the files of users: the machine's own may lack both whom we are and sshd's user."""
        return {
            "NSS_WRAPPER_PASSWD": str(self.directory / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.directory / "group"),
        }

    def _write_users(self) -> None:
        user, group = os.getuid(), os.getgid()
        # Only root can become somebody else.
        stranger = NOBODY if user == 0 else user
        passwd = [
            f"{self.user}:x:{user}:{group}::{self.files}:/bin/sh",
            f"sshd:x:{stranger}:{stranger}::{EMPTY}:/bin/false",
        ]
        groups = [f"{self.user}:x:{group}:"]
        for name, lines in (("passwd", passwd), ("group", groups)):
            text = "".join(f"{line}\n" for line in lines)
            (self.directory / name).write_text(text, encoding="utf-8")

    def _make_key(self, path: Path) -> None:
        if path.exists():
            return
        subprocess.run(
            [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment()},
        )

    def is_ready(self) -> bool:
        """Say whether it greets, which it does with a process started for the caller."""
        with socket.create_connection((HOST, self.port), timeout=5) as connection:
            return connection.recv(64).startswith(b"SSH-2.0-")
