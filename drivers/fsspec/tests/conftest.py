"""What the tests of this driver share."""

from __future__ import annotations

import pytest

from servers.sshd import Sshd


@pytest.fixture
def sftp_options(sshd: Sshd) -> dict[str, object]:
    """Give the options that log in to the SFTP server."""
    return {
        "host": sshd.host,
        "port": sshd.port,
        "username": sshd.user,
        "key_filename": str(sshd.key_file),
        "look_for_keys": False,
        "allow_agent": False,
    }
