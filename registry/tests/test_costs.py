"""What a request costs, counted and not timed: so it is the same on every machine.

Three things are counted while the application answers, on a filesystem whose files are all in
memory: system calls of the driver, hops to other threads, and the functions of our own packages
that the event loop's thread enters or goes on with. A number that changes is no mistake by itself:
whoever changes it says in the table why the work is needed, or is glad of what is saved.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from storagedriver_filesystem import _beneath, _cached, _held, _quick, _syncing, _tree, _writeback
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._driver import FilesystemDriver
from storagedriver_registry import create_app
from storagedriver_registry.api import blobs
from storagedriver_registry.api.request import ASGIApp, Message
from storagedriver_registry.storage import condemned

from registry.tests.client import OCI_MANIFEST, sha256
from storagedriver_core import Storage

KIB, MIB = 2**10, 2**20

_OF_OS = (
    *("open", "close", "stat", "lstat", "fstat", "statvfs", "scandir", "listdir"),
    *("pread", "preadv", "pwritev", "copy_file_range", "ftruncate", "fsync", "fdatasync"),
    *("mkdir", "rmdir", "rename", "link", "unlink", "utime"),
    *("getxattr", "setxattr", "listxattr"),
)


def about(functions: int) -> object:
    """Allow for a few functions more or less: how a coroutine is woken up is Python's affair."""
    return pytest.approx(functions, rel=0.1, abs=3)


@dataclass
class Meter:
    """Counts while it is on.

    Attributes:
        noted: System calls by their names, and `hop` for each hop. A list, since threads add to it.
        functions: Functions of our packages that the event loop's thread entered or went on with.
    """

    noted: list[str] = field(default_factory=list)
    functions: int = 0
    is_on: bool = False

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if self.is_on:
                self.noted.append(name)
            return function(*args, **named)

        return call

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        # Comprehensions are functions in some versions of Python: their names begin with `<`.
        if event == "call" and not frame.f_code.co_name.startswith("<"):
            self.functions += frame.f_globals.get("__name__", "").startswith("storagedriver_")

    async def measure(self, work: Callable[[], Any]) -> None:
        self.noted.clear()
        self.functions = 0
        self.is_on = True
        sys.setprofile(self.profile)
        try:
            await work()
        finally:
            sys.setprofile(None)
            self.is_on = False

    @property
    def calls(self) -> Counter[str]:
        return Counter(self.noted)


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Meter:
    """Give a meter, on a filesystem that is taken for local and has everything in memory."""
    meter = Meter()

    open_file = os.open

    def open_cached(path: bytes, how: bytes) -> int:
        try:
            return open_file(path, os.O_RDONLY)
        except OSError as error:
            return -(error.errno or errno.EAGAIN)

    pread = os.pread
    device = tmp_path.stat().st_dev
    monkeypatch.setattr(_cached, "local_device", lambda path: device)
    monkeypatch.setattr(_quick, "open_cached", meter.counted("open", open_cached))
    # Not every filesystem reads without waiting.
    read = meter.counted("preadv", lambda fd, offset, size: pread(fd, size, offset))
    monkeypatch.setattr(_quick, "read", read)
    monkeypatch.setattr(_quick, "status", meter.counted("fstat", _quick.status))
    monkeypatch.setattr(_quick, "close", meter.counted("close", _quick.close))
    for name in _OF_OS:
        monkeypatch.setattr(os, name, meter.counted(name, getattr(os, name)))
    for place, name, counted_as in (
        (fcntl, "flock", "flock"),
        (_beneath, "_open", "open"),
        (_tree, "identify", "statx"),
        (_writeback, "_sync_file_range", "sync_file_range"),
        (ThreadPoolExecutor, "submit", "hop"),
    ):
        monkeypatch.setattr(place, name, meter.counted(counted_as, getattr(place, name)))
    # Not every kernel syncs several files in one call.
    monkeypatch.setattr(_syncing, "_idle", [])
    monkeypatch.setattr(_syncing, "_take_queue", lambda: SyncsInOneCall(meter))
    # Once a second is none of a request's cost.
    monkeypatch.setattr(condemned, "LEARN_SECONDS", 3600.0)
    # However slow the machine is, what was pushed was so a moment ago.
    monkeypatch.setattr(_held, "_SETTLED_SECONDS", 3600.0)
    return meter


class SyncsInOneCall:
    """In the place of the kernel's queue: counts the call, and each sync."""

    def __init__(self, meter: Meter) -> None:
        self._submit = meter.counted("io_submit", lambda: None)

    def sync(self, descriptors: Sequence[int]) -> list[int]:
        self._submit()
        for descriptor in descriptors:
            os.fsync(descriptor)
        return [0] * len(descriptors)


class Client:
    """Asks the application as a server would, without one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def ask(
        self, method: str, target: str, body: Sequence[bytes] = (), length: int | None = None
    ) -> Mapping[str, str]:
        """Give the headers of the answer.

        Args:
            method: The method.
            target: Path and query.
            body: What is sent, a message each.
            length: What is announced; None to send it in chunks.
        """
        messages: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": True} for piece in body
        ]
        messages.append({"type": "http.request", "body": b"", "more_body": False})
        messages.reverse()
        framing = (b"transfer-encoding", b"chunked")
        if length is not None:
            framing = (b"content-length", b"%d" % length)
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [
                *((b"host", b"registry"), (b"user-agent", b"test"), (b"accept", b"*/*")),
                *([framing] if body else []),
            ],
            "extensions": {"http.response.pathsend": {}},
        }
        answer: list[Message] = []

        async def receive() -> Message:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        async def send(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, send)
        assert answer[0]["status"] < 300, answer
        return {name.decode(): value.decode() for name, value in answer[0]["headers"]}

    async def push(self, data: bytes, pieces: Sequence[bytes] = ()) -> None:
        """Push a blob: in one PUT, or the pieces, which are all of it, in one streamed PATCH."""
        begun = await self.ask("POST", "/v2/a/blobs/uploads/")
        place, last = _target(begun), [data]
        if pieces:
            place, last = _target(await self.ask("PATCH", place, pieces)), []
        put = f"{place}{'&' if '?' in place else '?'}digest={sha256(data)}"
        await self.ask("PUT", put, last, len(data) if last else None)


def _target(answer: Mapping[str, str]) -> str:
    return answer["location"].removeprefix("http://registry")


def blobs_of(size: int) -> Iterator[bytes]:
    """Give blobs whose digests begin alike: the first to do so costs a directory more."""
    beginning = bytes(size - 8)
    begun = hashlib.sha256(beginning)
    for number in count():
        end = number.to_bytes(8)
        whole = begun.copy()
        whole.update(end)
        if whole.hexdigest().startswith("00"):
            yield beginning + end


def _sum(*calls: Mapping[str, int]) -> Mapping[str, int]:
    return sum(map(Counter, calls), Counter())


SMALL, LARGE = b"0" * 2 * KIB, b"1" * MIB
DESCRIPTOR = {"mediaType": "x/y", "digest": sha256(SMALL), "size": len(SMALL)}
MANIFEST = (
    b'{"schemaVersion":2,"mediaType":"%b","config":{"mediaType":"x/y","digest":"%b","size":%d},'
    b'"layers":[]}' % (OCI_MANIFEST.encode(), sha256(SMALL).encode(), len(SMALL))
)


async def idle(driver: FilesystemDriver) -> None:
    """Wait until no thread of the driver looks for more to do: it could take a part of the work."""
    executor: Any = driver._threads._executor
    async with asyncio.timeout(60):
        while executor._idle_semaphore._value < len(executor._threads):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.001)


def measured(meter: Meter, folder: Path, work: Callable[[Client], Any]) -> None:
    """Have the work done three times, and count the last."""

    async def main() -> None:
        driver = FilesystemDriver(FilesystemConfig(root_directory=folder / "data"))
        async with Storage(driver) as storage:
            section = {"cache": {"blobdescriptor": "inmemory"}}
            config = {"storage": section, "http": {"secret": "s"}, "log": {"level": "error"}}
            client = Client(create_app(config, storage=storage))
            for blob in (SMALL, LARGE):
                await client.push(blob)
            await client.ask("PUT", "/v2/a/manifests/v1", [MANIFEST], len(MANIFEST))
            for _ in range(2):
                await work(client)
            await idle(driver)
            await meter.measure(lambda: work(client))

    asyncio.run(main())


ANSWERS = ("method", "path", "looks", "functions")

WAY = {"open": 1, "fstat": 1, "close": 1}
"""Whether there is a link: it is opened, since no other call asks the kernel's memory alone."""


@pytest.mark.parametrize(
    ANSWERS,
    [
        ("GET", "", 0, 16),
        # The tag, and whether the repository has what it points to; the bytes are remembered.
        ("GET", "a/manifests/v1", 2, 70),
        # Whether the repository has it; size and type are remembered.
        ("HEAD", f"a/manifests/{sha256(MANIFEST)}", 1, 51),
        ("HEAD", f"a/blobs/{sha256(SMALL)}", 1, 51),
        # The same, for small blobs are remembered.
        ("GET", f"a/blobs/{sha256(SMALL)}", 1, 58),
    ],
    ids=["v2", "manifest-get", "manifest-head", "blob-head", "blob-get"],
)
def test_answers_about_open_files_need_one_call_for_each(
    method: str,
    path: str,
    looks: int,
    functions: int,
    meter: Meter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if what was pushed a moment ago had been there for long, and nothing taken a tenth of a
    # second.
    monkeypatch.setattr(_held, "_SETTLED_SECONDS", -1.0)
    monkeypatch.setattr(_held, "_SECONDS", 3600.0)
    measured(meter, tmp_path, lambda client: client.ask(method, f"/v2/{path}"))
    assert meter.calls == Counter({"fstat": looks} if looks else {})
    assert meter.functions == about(functions)


@pytest.mark.parametrize(
    ANSWERS,
    [
        ("GET", "a/manifests/v1", _sum(WAY, {"preadv": 1}, WAY), 81),
        ("HEAD", f"a/blobs/{sha256(SMALL)}", WAY, 56),
        # The link, and whether the file is there that the server is to send.
        ("GET", f"a/blobs/{sha256(LARGE)}", _sum(WAY, WAY), 88),
    ],
    ids=["manifest-get", "blob-head", "pull"],
)
def test_answers_from_memory_need_no_thread_and_few_calls(
    method: str,
    path: str,
    looks: Mapping[str, int],
    functions: int,
    meter: Meter,
    tmp_path: Path,
) -> None:
    measured(meter, tmp_path, lambda client: client.ask(method, f"/v2/{path}"))
    assert meter.calls == looks
    assert meter.functions == about(functions)


def test_pull_of_a_blob_that_is_read_here(
    meter: Meter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "_LARGE_BYTES", 0)
    measured(meter, tmp_path, lambda client: client.ask("GET", f"/v2/a/blobs/{sha256(LARGE)}"))
    assert meter.calls == _sum(
        # The link.
        WAY,
        # The root and the file; whether it is one, what it is, where, its attributes; 512 KiB.
        {"open": 2, "fstat": 3, "listxattr": 1, "pread": 1, "close": 2},
        # The rest by 32 KiB, without a thread; they opened the file and close it.
        {"preadv": 16, "hop": 2},
    )
    assert meter.functions == about(516)


SMALL_PUT = {
    # The file; the directory that is made for it alone; and the one in which that is made. None can
    # be left out: what was answered with 201 is there after a loss of power.
    "fsync": 3,
    # The root, the directories of staging files and of the target, the file; again the directory in
    # which one is made, to sync it. Those that turn out to be missing are not closed.
    "open": 7,
    "close": 6,
    # Of the staging file, so that no purge takes it; of the directory, where writers meet.
    "flock": 3,
    # Whether the file still has its name once it is locked; its time, before it is set and after.
    "fstat": 3,
    "utime": 1,
    # Which directory it is that is there, and which was made: whether others may have to be synced.
    "statx": 2,
    "pwritev": 1,
    "mkdir": 1,
    "rename": 1,
    # The put's. Both directories are given to the kernel in one call.
    "hop": 1,
    "io_submit": 1,
}


def test_push_of_a_small_blob(meter: Meter, tmp_path: Path) -> None:
    pushed = blobs_of(4 * KIB)
    measured(meter, tmp_path, lambda client: client.push(next(pushed)))
    # That there is no record of the session, below a root that is there; and of the blob, whether
    # there is one already.
    looks = {"open": 2, "close": 1, "stat": 1}
    # Blob and link are stored at the same time: the root and the directory of staging files are
    # opened once, and the kernel is given both files in one call and all directories in another.
    together = {"open": -2, "close": -2, "hop": -1}
    expected = _sum(SMALL_PUT, SMALL_PUT, looks, together)
    assert meter.calls == expected
    assert meter.functions == about(231)


def test_push_of_a_blob_in_chunks(meter: Meter, tmp_path: Path) -> None:
    pushed = blobs_of(4 * MIB)

    async def push(client: Client) -> None:
        blob = next(pushed)
        pieces = [blob[at : at + 32 * KIB] for at in range(0, len(blob), 32 * KIB)]
        await client.push(blob, pieces)

    measured(meter, tmp_path, push)
    calls = meter.calls
    # How far the hashing has come when more bytes do is a matter of time: it has a hop for each
    # mebibyte at most. The others: 4 for as many mebibytes, and 10 for the session's steps.
    assert calls.pop("hop") <= 18
    assert calls == {
        # The record of the session and the link, as in a small push, and the directory that is made
        # for all sessions: 7. The bytes and the staging file's name, before 202: 2. The file with
        # its time, and both directories of the blob, before 201: 3. What is left of the session: 1.
        "fsync": 13,
        # The directories of the link, and those of the record.
        "io_submit": 2,
        # By 256 KiB, and the record and the link.
        "pwritev": 4 * 4 + 2,
        # The disk begins with each mebibyte.
        "sync_file_range": 4,
        # The blob, the record and the link.
        "rename": 3,
        # Theirs, and the directory of all sessions; which is empty again in the end.
        "mkdir": 4,
        "rmdir": 3,
        # What the session leaves, and what is done with its record and its file again and again.
        **{"open": 44, "close": 39, "fstat": 18, "flock": 15, "stat": 6, "utime": 4, "unlink": 2},
        **{"listdir": 1, "preadv": 1},
        # Three directories that are there, four that are made, and that of staging files.
        "statx": 8,
        # The mark by which a commit is known whose answer was lost.
        **{"setxattr": 1, "getxattr": 1, "listxattr": 1},
    }
    assert meter.functions == about(786)
