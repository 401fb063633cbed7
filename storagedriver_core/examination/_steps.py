"""The steps of an examination, one after the other, whatever becomes of each."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from storagedriver_core._document import Setting
from storagedriver_core._errors import (
    AlreadyExistsError,
    AuthenticationError,
    ConfigurationError,
    OperationTimeoutError,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_core._shield import finish
from storagedriver_core._storage import Storage
from storagedriver_core.examination._advice import Advice, describe_capabilities
from storagedriver_core.examination._findings import Finding, Reporter, Result, WrongAnswerError
from storagedriver_core.examination._signed import fetch

PROBE = "/storagedriver-doctor-"
"""How the names of files begin that an examination makes."""

_PROBE_DATA = b"storagedriver doctor\n"
_MOST_LISTED = 1000
# Amazon S3 refuses what is signed by a clock that is a quarter of an hour off.
_MOST_SKEW = timedelta(minutes=5)
# Errors after which the same would come of every other request.
_HOPELESS = (
    AuthenticationError,
    ConfigurationError,
    OperationTimeoutError,
    UnavailableError,
)


class Examination:
    """One examination of one store.

    Args:
        storage: The store, unopened.
        settings: Its configuration, each value with its origin.
        permissions: What the store calls the permission that a call needs.
        reporter: Told of each step.
        read_only: Leave out what writes.
        seconds: What one step may take.
    """

    def __init__(
        self,
        storage: Storage,
        settings: Sequence[Setting],
        permissions: Mapping[str, str],
        reporter: Reporter,
        *,
        read_only: bool,
        seconds: float,
    ) -> None:
        self._storage = storage
        self._declared = storage.capabilities  # again when it is open, and may know better
        self._reporter = reporter
        self._read_only = read_only
        self._seconds = seconds
        self._advice = Advice(settings, permissions)
        self._name = PROBE + secrets.token_hex(8)
        self._probes: set[str] = set()
        self._hopeless = ""
        self._readable = ""
        self._is_well = True

    async def run(self) -> bool:
        """Take all steps; tell whether each went well."""
        try:
            if await self._step("open", "open", self._open):
                await self._step("identity", "identity", self._identify)
                await self._step("check", "check", self._check)
            else:
                self._hopeless = "the driver is not open"
            await self._step("list", "list", self._list)
            await self._step("list uploads", "list_uploads", self._list_uploads)
            await self._write()
            await self._step("clock", "now", self._compare_clocks, writes=True)
        finally:
            # Ctrl-C too: what was written goes, and then the connections.
            await finish(self._leave())
        self._reporter.ended(self._capabilities())
        return self._is_well

    # The steps ---------------------------------------------------------------------------------

    async def _open(self) -> Result:
        await self._storage.open()
        self._declared = self._storage.capabilities
        return Result()

    async def _identify(self) -> Result:
        facts = dict(await self._storage.identity())
        self._advice.identity = facts
        if not facts:
            return Result("the driver has nothing to tell")
        lines = tuple(f"{name}: {value}" for name, value in facts.items())
        return Result(lines[0], lines[1:], facts)

    async def _check(self) -> Result:
        await self._storage.check()
        return Result("the store answers")

    async def _list(self) -> Result:
        count = 0
        async with aclosing(self._storage.list("/")) as entries:
            async for info in entries:
                count += 1
                if not info.is_dir and info.size and not self._readable:
                    self._readable = info.path
                if count == _MOST_LISTED:
                    return Result(f"{count} entries or more in /")
        return Result(f"{count} {'entry' if count == 1 else 'entries'} in /")

    async def _list_uploads(self) -> Result:
        count = 0
        async with aclosing(self._storage.list_uploads()) as uploads:
            async for _ in uploads:
                count += 1
                if count == _MOST_LISTED:
                    break
        more = " or more" if count == _MOST_LISTED else ""
        return Result(f"{count}{more} in progress")

    async def _write(self) -> None:
        """Take the steps that write, and the one that needs what was written."""
        wrote = await self._step("write", "put_content", self._put, writes=True)
        if wrote:
            self._readable = self._name
        if wrote or self._read_only:
            await self._step("read", "get_content", self._read)
        await self._step("signed URL", "redirect_url", self._fetch_signed)
        if wrote:
            await self._step("delete", "delete", self._delete, writes=True)
        await self._step("create only", "put_content", self._put_twice, writes=True)
        await self._step("upload", "open_upload", self._upload, writes=True)

    async def _put(self) -> Result:
        await self._put_probe(self._name)
        return Result(f"{len(_PROBE_DATA)} bytes to {self._name}")

    async def _read(self) -> Result:
        path = self._readable
        async with await self._storage.reader(path, length=len(_PROBE_DATA)) as reader:
            data = b"".join([chunk async for chunk in reader])
        if path == self._name and data != _PROBE_DATA:
            raise WrongAnswerError("other bytes come back than were written")
        return Result(f"{len(data)} bytes of {path}")

    async def _fetch_signed(self) -> Result:
        expires = timedelta(seconds=max(60.0, 2 * self._seconds))
        url = await self._storage.redirect_url(self._readable, method="GET", expires=expires)
        answer = await asyncio.to_thread(fetch, url, len(_PROBE_DATA), self._seconds)
        if answer.fault:
            raise WrongAnswerError(
                f"{answer.place}: {answer.fault}", *self._advice.of_signed_url(answer)
            )
        if self._readable == self._name and answer.body != _PROBE_DATA:
            raise WrongAnswerError(f"{answer.place}: other bytes come back than were written")
        return Result(f"{answer.place} gives {self._readable} to a plain HTTP client")

    async def _delete(self) -> Result:
        await self._storage.delete(self._name)
        self._probes.discard(self._name)
        return Result(self._name)

    async def _put_twice(self) -> Result:
        path = f"{self._name}-once"
        await self._put_probe(path, if_absent=True)
        try:
            await self._put_probe(path, if_absent=True)
        except AlreadyExistsError:
            await self._storage.delete(path)
            self._probes.discard(path)
            return Result("the second of two writers is refused")
        raise WrongAnswerError(
            "the store takes a second file in the place of the first",
            "two writers would replace each other's files; until it is mended, set "
            "storage.capabilities.put_if_absent: false",
        )

    async def _upload(self) -> Result:
        async with await self._storage.writer(f"{self._name}-upload") as writer:
            await writer.write(_PROBE_DATA)
            await writer.cancel()
        return Result("opened and aborted")

    async def _compare_clocks(self) -> Result:
        before = datetime.now(UTC)
        theirs = await self._storage.now()
        ours = before + (datetime.now(UTC) - before) / 2
        skew = theirs - ours
        seconds = abs(skew.total_seconds())
        facts = {"skew_seconds": round(skew.total_seconds(), 3)}
        if seconds < 1.0:
            return Result("the store's is ours, to a second", (), facts)
        text = (
            f"the store's is {seconds:.1f} s {'ahead of' if skew > timedelta() else 'behind'} ours"
        )
        if abs(skew) > _MOST_SKEW:
            raise WrongAnswerError(
                f"{text}: it says {theirs:%Y-%m-%dT%H:%M:%SZ}",
                "set the clock of this machine: signatures and credentials hold for minutes",
            )
        return Result(text, (), facts)

    def _capabilities(self) -> Finding:
        lines = tuple(describe_capabilities(self._declared))
        detail = f"as configured; move is {self._declared.move}"
        return Finding("capabilities", "ok", detail, "", lines, self._declared.to_json())

    # How a step is taken -----------------------------------------------------------------------

    async def _step(
        self, name: str, call: str, work: Callable[[], Awaitable[Result]], *, writes: bool = False
    ) -> bool:
        """Take one step and tell how it ended; True if it went well.

        Args:
            name: Name of the step.
            call: Method of the contract that it is about.
            work: The step.
            writes: Whether it writes.
        """
        reason = self._why_not(name, writes=writes)
        if reason:
            self._reporter.ended(Finding(name, "left out", reason))
            return False
        self._reporter.began(name)
        started = time.monotonic()
        try:
            finding = await self._try(name, call, work)
        finally:
            seconds = round(time.monotonic() - started, 3)
        self._reporter.ended(dataclasses.replace(finding, seconds=seconds))
        self._is_well &= finding.result == "ok"
        return finding.result == "ok"

    def _why_not(self, name: str, *, writes: bool) -> str:
        needed = {"list uploads": "list_uploads", "signed URL": "sign_get"}
        needed |= {"create only": "put_if_absent", "upload": "upload"}
        if name in needed and not getattr(self._declared, needed[name]):
            return f"{needed[name]} is not declared"
        if writes and self._read_only:
            return "it writes"
        if self._hopeless:
            return self._hopeless
        if name in ("signed URL", "read") and not self._readable:
            return "there is no file in / to read"
        return ""

    async def _try(self, name: str, call: str, work: Callable[[], Awaitable[Result]]) -> Finding:
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                result = await work()
            return Finding(name, "ok", result.detail, "", result.help, result.facts)
        except StorageDriverError as error:
            lines = self._advice.of(error, call)
            failed = Finding(name, "failed", error.message, type(error).__name__, lines)
            self._give_up_after(name, error)
        except WrongAnswerError as wrong:
            failed = Finding(name, "failed", str(wrong), "", wrong.help)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = OperationTimeoutError(f"no answer in {self._seconds:g} s")
            late.__cause__ = error
            lines = self._advice.of(late, call)
            failed = Finding(name, "failed", late.message, type(late).__name__, lines)
            self._give_up_after(name, late)
        return failed

    def _give_up_after(self, name: str, error: StorageDriverError) -> None:
        if name in ("open", "check") and isinstance(error, _HOPELESS):
            self._hopeless = "the store cannot be used"

    async def _put_probe(self, path: str, *, if_absent: bool = False) -> None:
        is_new = path not in self._probes
        self._probes.add(path)
        try:
            await self._storage.put_content(path, _PROBE_DATA, if_absent=if_absent)
        except StorageDriverError as error:
            if is_new and error.outcome == "none" and not error.temporary:
                self._probes.discard(path)  # nothing is there to be removed
            raise

    async def _leave(self) -> None:
        """Remove what is left of the probes, and close the store."""
        try:
            for path in sorted(self._probes):
                await self._remove(path)
        finally:
            await self._storage.aclose()

    async def _remove(self, path: str) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._storage.delete(path, missing_ok=True)
        except (StorageDriverError, TimeoutError) as error:
            self._is_well = False
            line = "it may be there still; delete it by hand"
            kind = type(error).__name__
            self._reporter.ended(Finding("clean up", "failed", f"{path}: {line}", kind))
