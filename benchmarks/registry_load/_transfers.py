"""Pushes, and pulls of a large blob: what is sent was made before, what comes is not looked at."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from benchmarks.registry_load._crew import Load, Work, run_crew
from benchmarks.registry_load._plan import Amount, Plan
from benchmarks.registry_load._seeding import OCTETS, Target, digest_of, push_small
from benchmarks.registry_load._wire import Connection, LoadError, with_digest

Begin = Callable[[], None]
_END = b"0\r\n\r\n"


def pull_large(target: Target, plan: Plan, clients: int, begin: Begin) -> Load:
    """Pull the large blob, each client again and again."""
    path = f"{target.blobs}/{target.large}"

    def start(number: int) -> Work:
        connection = Connection(target.url)

        def pull() -> None:
            source, answer = connection.get(path)
            if (answer.status, answer.headers["content-length"]) != (200, str(plan.large_bytes)):
                raise LoadError(f"GET {path}: {answer}")
            source.drain(answer)

        return pull

    return run_crew(start, clients, Amount(count=plan.pulls[clients > 1]), begin)


class LargeBody:
    """A large body as it goes over the wire, and its successors: only the last chunk changes.

    So a blob that nobody has seen costs no more than the hash of its last chunk.

    Args:
        plan: Its size and framing.
    """

    def __init__(self, plan: Plan) -> None:
        self._last_bytes = min(plan.chunk_bytes, plan.large_bytes)
        data = memoryview(os.urandom(plan.large_bytes - self._last_bytes))
        self._hash = hashlib.sha256(data)
        self.headers = dict(OCTETS)
        self._is_chunked = plan.framing == "chunked"
        if self._is_chunked:
            self.headers["transfer-encoding"] = "chunked"
            step = plan.chunk_bytes
            chunks = (data[at : at + step] for at in range(0, len(data), step))
            data = memoryview(b"".join(map(_chunk, chunks)))
        self._wire = data

    def new(self) -> tuple[tuple[bytes | memoryview, ...], str]:
        """Give a body that was never sent, and the digest of what it carries."""
        last = os.urandom(self._last_bytes)
        whole = self._hash.copy()
        whole.update(last)
        end = _chunk(last) + _END if self._is_chunked else last
        return (self._wire, end), f"sha256:{whole.hexdigest()}"


def _chunk(data: bytes | memoryview) -> bytes:
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))


def push_large(target: Target, plan: Plan, clients: int, begin: Begin) -> Load:
    """Push large blobs, each by POST, one streamed PATCH and PUT."""
    large = LargeBody(plan)

    def start(number: int) -> Work:
        connection = Connection(target.url)

        def push() -> None:
            body, digest = large.new()
            answer = connection.expect(202, "POST", f"{target.blobs}/uploads/")
            place = answer.headers["location"]
            answer = connection.expect(202, "PATCH", place, large.headers, body)
            place = with_digest(answer.headers["location"], digest)
            connection.expect(201, "PUT", place)
            _check(connection, target, digest, plan.large_bytes)

        return push

    return run_crew(start, clients, Amount(count=plan.pushes[clients > 1]), begin)


def push_many(target: Target, plan: Plan, begin: Begin) -> Load:
    """Push small blobs, each by POST and PUT."""

    def start(number: int) -> Work:
        connection = Connection(target.url)
        return lambda: push_small(connection, target, os.urandom(plan.pushed_bytes))

    load = run_crew(start, plan.many, plan.small_pushes, begin)
    last = os.urandom(plan.pushed_bytes)
    with Connection(target.url) as connection:
        push_small(connection, target, last)
        _check(connection, target, digest_of(last), plan.pushed_bytes)
    return load


def _check(connection: Connection, target: Target, digest: str, size: int) -> None:
    """See that a blob is there: beside a push of a large one, that costs nothing."""
    if not target.is_kept:
        return
    answer = connection.expect(200, "HEAD", f"{target.blobs}/{digest}")
    if int(answer.headers["content-length"]) != size:
        raise LoadError(f"{digest} has {answer.headers['content-length']} bytes, not {size}")
