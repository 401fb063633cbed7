"""`python -m servers NAME`: run one server in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from servers._process import MissingProgramError, Server, ServerError

SERVERS = {
    "seaweedfs": "SeaweedFS",
    "swift": "Swift",
    "moto": "Moto",
    "azurite": "Azurite",
    "fake_gcs": "FakeGcs",
    "strict_gcs": "StrictGcs",
    "rclone_webdav": "RcloneWebDav",
    "wsgidav": "WsgiDav",
    "sshd": "Sshd",
    "valkey": "Valkey",
    "chromium": "Chromium",
}


def main() -> None:
    """Start it, print what is needed to use it, and wait."""
    parser = argparse.ArgumentParser(
        prog="python -m servers",
        description="Run one server of the tests on 127.0.0.1, until Ctrl-C. "
        "The credentials are for tests alone.",
    )
    parser.add_argument("name", metavar="NAME", choices=SERVERS, help=", ".join(SERVERS))
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where it keeps data and log (a temporary directory, removed at the end)",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server_class: type[Server] = getattr(
        importlib.import_module(f"servers.{arguments.name}"), SERVERS[arguments.name]
    )
    try:
        with _directory(arguments.directory) as directory, server_class(directory) as server:
            for name, value in server.facts().items():
                print(f"{name}: {value}")
            print(f"log: {server.log}\nCtrl-C stops it.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    except (MissingProgramError, ServerError) as exc:
        sys.exit(str(exc))


@contextlib.contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="servers-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
