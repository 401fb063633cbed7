"""Swift's four servers in one process: `swift-python -I _swift_main.py DIRECTORY PORT...`.

Runs in Swift's own environment, and uses nothing else from here. The directory holds `swift.conf`
and `proxy.conf`; the ports are those of proxy, object, container and account server.

    DIRECTORY
    ├── swift.conf, proxy.conf
    ├── object.ring.gz, container.ring.gz, account.ring.gz
    └── devices/one/                  what is stored
"""

# Sockets have to be green before anything else imports them.
# ruff: noqa: E402

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from eventlet import tpool, wsgi
from swift.account.server import AccountController
from swift.common import db, utils
from swift.common.ring import RingBuilder
from swift.common.utils import config
from swift.common.wsgi import SwiftHttpProtocol, loadapp
from swift.container.server import ContainerController
from swift.obj.server import ObjectController

HOST = "127.0.0.1"
CONTROLLERS = {
    "object": ObjectController,
    "container": ContainerController,
    "account": AccountController,
}
WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Cache:
    """What Swift asks of memcached, in a dictionary: tokens, and what the proxy has looked up."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Any, float]] = {}

    def get(self, key: str, *_: Any, **__: Any) -> Any:
        """Give a value; None when there is none, or it is too old."""
        value, end = self._entries.get(key, (None, 0.0))
        if end and end < time.time():
            self._entries.pop(key, None)
            return None
        return value

    def set(self, key: str, value: Any, serialize: bool = True, time: float = 0, **_: Any) -> None:
        """Keep a value for some seconds; 0 keeps it."""
        self._entries[key] = (value, _now() + time if time else 0.0)

    def incr(self, key: str, delta: int = 1, time: float = 0, **_: Any) -> int:
        """Add to a number."""
        value = int(self.get(key) or 0) + delta
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0, **_: Any) -> int:
        """Subtract from a number."""
        return self.incr(key, -delta, time)

    def delete(self, key: str, *_: Any, **__: Any) -> None:
        """Forget a value."""
        self._entries.pop(key, None)

    def set_multi(self, values: dict[str, Any], *_: Any, time: float = 0, **__: Any) -> None:
        """Keep several values."""
        for key, value in values.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: Iterable[str], *_: Any, **__: Any) -> list[Any]:
        """Give several values."""
        return [self.get(key) for key in keys]


def _now() -> float:
    return time.time()


def cache_factory(_: Any, **__: Any) -> Callable[[WsgiApp], WsgiApp]:
    """Make the filter that gives the proxy its cache; `proxy.conf` names it."""
    cache = Cache()

    def around(app: WsgiApp) -> WsgiApp:
        def with_cache(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ["swift.cache"] = cache
            return app(environ, start_response)

        return with_cache

    return around


def hurry() -> None:
    """Let nothing wait for the disk, and spare threads: it stores for one test at a time."""
    tpool.set_num_threads(0)
    gc.set_threshold(50_000, 20, 20)
    for name in ("fsync", "fdatasync"):
        setattr(os, name, lambda _: None)
    connect = db.get_db_connection

    def without_waiting(*args: Any, **options: Any) -> Any:
        connection = connect(*args, **options)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    db.get_db_connection = without_waiting


def write_ring(directory: Path, name: str, port: int) -> None:
    """Say where the one replica of everything lies."""
    builder = RingBuilder(part_power=1, replicas=1, min_part_hours=0)
    address = {"ip": HOST, "port": port, "replication_ip": HOST, "replication_port": port}
    builder.add_dev(
        {"id": 0, "region": 1, "zone": 1, "device": "one", "weight": 1.0, "meta": "", **address}
    )
    builder.rebalance()
    builder.get_ring().save(str(directory / f"{name}.ring.gz"))


class Nowhere:
    """A log of requests that keeps nothing."""

    def write(self, _: str) -> None:
        """Drop it."""

    def flush(self) -> None:
        """Do nothing."""


def serve(app: WsgiApp, port: int) -> None:
    """Answer requests for ever."""
    listener = eventlet.listen((HOST, port), backlog=512)
    wsgi.server(
        listener, app, Nowhere(), protocol=SwiftHttpProtocol, log_output=False, max_size=200
    )


def main() -> None:
    """Start the three that store, then the proxy."""
    hurry()
    directory = Path(sys.argv[1])
    proxy_port, *ports = map(int, sys.argv[2:])
    (directory / "devices" / "one").mkdir(parents=True, exist_ok=True)
    # Swift reads it from /etc otherwise.
    for module in (utils, config):
        module.SWIFT_CONF_FILE = str(directory / "swift.conf")
    utils.validate_hash_conf()
    # The configuration names the filter by its module, and this one has another name here.
    sys.modules["storagedriver_swift"] = sys.modules[__name__]
    settings = {
        "devices": str(directory / "devices"),
        "mount_check": "false",
        "swift_dir": str(directory),
        "log_level": "WARNING",
        "fallocate_reserve": "0",
        "disable_fallocate": "true",
    }
    for name, port in zip(CONTROLLERS, ports, strict=True):
        write_ring(directory, name, port)
    for controller, port in zip(CONTROLLERS.values(), ports, strict=True):
        eventlet.spawn(serve, controller(dict(settings)), port)
    serve(loadapp(str(directory / "proxy.conf"), global_conf={"log_name": "proxy"}), proxy_port)


if __name__ == "__main__":
    main()
