"""`python -m testsuite.tests.strict_gcs DIRECTORY PORT`: serve on 127.0.0.1 until stopped."""

from __future__ import annotations

import sys
from pathlib import Path

from aiohttp import web

from testsuite.tests.strict_gcs._app import Server


def main() -> None:
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    server = Server(directory, f"http://127.0.0.1:{port}")
    web.run_app(
        server.app(),
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
        keepalive_timeout=75.0,
        handler_cancellation=False,
    )


if __name__ == "__main__":
    main()
