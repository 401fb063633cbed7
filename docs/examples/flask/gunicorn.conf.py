"""How gunicorn serves the files. It finds this by itself in the current directory."""

from __future__ import annotations

from typing import Any

bind = "127.0.0.1:8000"
workers = 2
threads = 8
# One reading of the code for all workers. Each opens its own storage, when it is first asked.
preload_app = True


def worker_exit(server: Any, worker: Any) -> None:
    """Close the storage while there are threads to do it, which at the very end there are not."""
    # The master calls this, too, for a worker that is gone; the application is in workers alone.
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["storage"].close()
