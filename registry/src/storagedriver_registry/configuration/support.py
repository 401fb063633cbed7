"""Which keys of distribution's documentation are acted on, and which are not, and why.

The one place that says so: warnings at the start, `registry config check` and the documentation's
table come from here. Whoever builds what a key asks for changes its line to `ACTED_ON`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from storagedriver_core import Document

Key: TypeAlias = tuple[str | int, ...]

_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Support:
    """What becomes of a key, and of those below it that have no line of their own.

    Attributes:
        state: Whether it is acted on.
        reason: Why not, or what is done instead.
        harmless: The value that asks for nothing, which is no reason to warn; of a mapping, the
            keys and values that make it so.
    """

    state: Literal["acted on", "not acted on"]
    reason: str = ""
    harmless: object = _NOTHING

    def asks(self, value: object) -> bool:
        """Tell whether the value asks for something that is not done."""
        if isinstance(self.harmless, Mapping):
            given = value if isinstance(value, Mapping) else {}
            return any(not _equal(given.get(key), off) for key, off in self.harmless.items())
        return not _equal(value, self.harmless)

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}" if self.reason else self.state


ACTED_ON = Support("acted on")
"""The registry does what the key asks for."""


def _never(reason: str, harmless: object = _NOTHING) -> Support:
    return Support("not acted on", reason, harmless)


_PART_SIZE = _never("storage.part_size says how large a part is")
_RETRY = _never("storage.middleware says it, under retry")
_COMPILED_IN = (
    "distribution has none of its own, only what is compiled into it; here ASGI middleware around "
    "create_app does that"
)
_SCHEMA_1 = "manifests of schema 1 are served where they are stored, and never taken"
_REDIS_TIMES = "a question to the cache is never repeated"
_REDIS_POOL = "connections are made when needed, redis.poolsize of them at most"

SUPPORT: dict[str, Support] = {
    "version": ACTED_ON,
    "loglevel": ACTED_ON,
    "log.level": ACTED_ON,
    "log.formatter": ACTED_ON,
    "log.fields": ACTED_ON,
    "log.accesslog.disabled": ACTED_ON,
    "log.hooks": _never("no mail is sent; that is work for whoever collects the log"),
    "log.reportcaller": ACTED_ON,
    "storage.filesystem": ACTED_ON,
    "storage.inmemory": ACTED_ON,
    "storage.azure": ACTED_ON,
    "storage.azure.max_retries": _RETRY,
    "storage.azure.maxretries": _RETRY,
    "storage.azure.retry_delay": _RETRY,
    "storage.azure.retrydelay": _RETRY,
    "storage.azure.copy_status_poll_max_retry": _never("a copy is awaited until it ends"),
    "storage.azure.copy_status_poll_delay": _never("storage.azure.copy_poll_delay says it"),
    "storage.gcs": ACTED_ON,
    "storage.s3": ACTED_ON,
    "storage.s3.chunksize": _PART_SIZE,
    "storage.s3.multipartcopychunksize": _PART_SIZE,
    "storage.s3.multipartcopymaxconcurrency": _never("as many parts at once as of any upload"),
    "storage.tag.concurrencylimit": ACTED_ON,
    "storage.delete.enabled": ACTED_ON,
    "storage.redirect.disable": ACTED_ON,
    "storage.cache": ACTED_ON,
    "storage.maintenance.uploadpurging": ACTED_ON,
    "storage.maintenance.readonly": ACTED_ON,
    "storage.middleware": ACTED_ON,
    "storage.capabilities": ACTED_ON,
    "storage.part_size": ACTED_ON,
    "auth": ACTED_ON,
    "middleware.registry": _never(_COMPILED_IN),
    "middleware.repository": _never(_COMPILED_IN),
    # Of distribution's that the core has not, by name, `backend` says what becomes of them.
    "middleware.storage": ACTED_ON,
    "reporting": _never("distribution 3 has no such section either"),
    "http.addr": ACTED_ON,
    "http.net": ACTED_ON,
    "http.prefix": ACTED_ON,
    "http.host": ACTED_ON,
    "http.secret": ACTED_ON,
    "http.relativeurls": ACTED_ON,
    "http.draintimeout": ACTED_ON,
    # What the server cannot do of it, it says itself at the start.
    "http.tls": ACTED_ON,
    "http.tls.letsencrypt": _never("the certificate is the one that is given"),
    "http.debug": ACTED_ON,
    "http.headers": ACTED_ON,
    "http.http2.disabled": ACTED_ON,
    "http.h2c.enabled": ACTED_ON,
    "http.pages.disabled": ACTED_ON,
    "notifications": ACTED_ON,
    "redis": ACTED_ON,
    "redis.contexttimeoutenabled": _never(_REDIS_TIMES, harmless=False),
    "redis.maxretries": _never(_REDIS_TIMES),
    "redis.minretrybackoff": _never(_REDIS_TIMES),
    "redis.maxretrybackoff": _never(_REDIS_TIMES),
    "redis.poolfifo": _never(_REDIS_POOL, harmless=False),
    "redis.minidleconns": _never(_REDIS_POOL),
    "redis.maxidleconns": _never(_REDIS_POOL),
    "redis.maxactiveconns": _never(_REDIS_POOL),
    "redis.connmaxidletime": _never(_REDIS_POOL),
    "redis.connmaxlifetime": _never(_REDIS_POOL),
    "redis.pool.maxidle": _never(_REDIS_POOL),
    "redis.pool.idletimeout": _never(_REDIS_POOL),
    "redis.maxredirects": _never("the client follows what a cluster says"),
    "redis.readonly": _never("masters are asked", harmless=False),
    "redis.routebylatency": _never("masters are asked", harmless=False),
    "redis.routerandomly": _never("masters are asked", harmless=False),
    "redis.disableidentity": _never("redis.clientname says it", harmless=False),
    "redis.identitysuffix": _never("redis.clientname says it"),
    "redis.unstableresp3": _never("it is of another client", harmless=False),
    "health": ACTED_ON,
    "proxy.remoteurl": ACTED_ON,
    "proxy.username": ACTED_ON,
    "proxy.password": ACTED_ON,
    "proxy.exec": ACTED_ON,
    "proxy.ttl": ACTED_ON,
    "proxy.spool": ACTED_ON,
    "proxy.remotenamespace": _never("repositories are called here as they are upstream"),
    "compatibility.schema1.signingkeyfile": _never(_SCHEMA_1),
    "compatibility.schema1.enabled": _never(_SCHEMA_1, harmless=False),
    "validation.disabled": ACTED_ON,
    "validation.enabled": _never("validation.disabled says it", harmless=True),
    "validation.manifests": ACTED_ON,
    "policy.repository.classes": _never("repositories may hold any class of content"),
    "catalog.maxentries": ACTED_ON,
    "tags.maxtags": ACTED_ON,
}
"""By key. A line is for what stands below its key too, unless that has a line of its own. What no
line names is a parameter of a driver that distribution does not have."""


def find_support(key: Key) -> tuple[str, Support] | None:
    """Give the line that says what becomes of a key: the key in it, and the rest of it."""
    # A line is for every item of a list, whose index has none.
    names = [part for part in key if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        line = ".".join(names[:length])
        if line in SUPPORT:
            return line, SUPPORT[line]
    return None


def unsupported(document: Document) -> list[str]:
    """Give a message for each line of which the document asks for something that is not done.

    Each says where the first such key stands.
    """
    messages: dict[str, str] = {}
    for key, value in _walk(document.data, ()):
        found = find_support(key)
        if found is None or found[1].state == ACTED_ON.state:
            continue
        line, support = found
        # What a mapping asks for is told of the mapping, and not again of the keys in it.
        if _is_empty(value) or not support.asks(_at(document.data, line)):
            continue
        messages[line] = document.error(tuple(line.split(".")), str(support))
    return list(messages.values())


def _walk(value: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    if key:
        yield key, value
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield from _walk(member, (*key, name))


def _is_empty(value: Any) -> bool:
    """Tell whether there is nothing in it, however deep it is."""
    if isinstance(value, Mapping):
        return all(map(_is_empty, value.values()))
    return value in (None, "", [])


def _at(value: Any, line: str) -> Any:
    for name in line.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _equal(value: object, other: object) -> bool:
    return _spelt(value) == _spelt(other)


def _spelt(value: object) -> str:
    # The value of a variable is text, and empty text is nothing.
    return "" if value is None else str(value).lower()
