"""Commits that are killed, and the order in which they become durable: F10, F11."""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from storagedriver_core import DriverMiddleware, Storage, UploadToken
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite._trace import SystemCall, read_calls, trace_command

T = TypeVar("T")
Say = Callable[[Any], None]

OLD, NEW = b"old" * 1000, b"new" * 2000
ANSWER = 1  # the descriptor that a child answers on


class StepCounter:
    """Counts the steps of a commit, and kills the process at one of them."""

    def __init__(self) -> None:
        self._left = -1  # not armed

    def arm(self, fatal: int) -> None:
        """Die at step number `fatal` from now on, from 0."""
        self._left = fatal
        sys.addaudithook(self._audit)

    def count(self) -> None:
        """Take a step."""
        self._left -= 1
        if self._left == -1:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: object) -> None:
        # What the interpreter is about to ask of the operating system, on any thread.
        if event == "open" or event.startswith("os."):
            self.count()


STEPS = StepCounter()


class Stepping(DriverMiddleware):
    """Takes a step before and after each call of the driver."""

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """Take the steps."""
        STEPS.count()
        result = await call()
        STEPS.count()
        return result


async def commit_and_die_at_each_step(storage: Storage, say: Say) -> None:
    """In a child process: let processes of its own die in a commit, each one step later."""
    async with await storage.writer("/warm") as writer:
        await writer.commit()  # what is imported only now is no step of the others
    for step in itertools.count():
        path = f"/{step}"
        await storage.put_content(path, OLD)
        writer = await storage.writer(path)
        await writer.write(NEW)
        token = await writer.suspend()
        say([path, token.to_json()])
        code = _commit_in_child(storage, token, step)
        if code != -signal.SIGKILL:
            say(["end", code])
            return


def _commit_in_child(storage: Storage, token: UploadToken, step: int) -> int:
    """Commit in a forked process that dies at a step; give its exit code."""
    child = os.fork()
    if child == 0:
        _commit_and_die(storage, token, step)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _commit_and_die(storage: Storage, token: UploadToken, step: int) -> None:
    """Resume and commit on a loop of this process's own; never return."""
    own: Storage = pickle.loads(pickle.dumps(storage))

    async def commit() -> None:
        async with own, await own.resume(token) as writer:
            STEPS.arm(step)
            await writer.commit()

    try:
        asyncio.run(commit())
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


async def publish_and_answer(storage: Storage, say: Say) -> None:
    """In a child process: publish in directories that are new, and say so."""
    await storage.put_content("/put/deeper/file", NEW)
    say("put")
    async with await storage.writer("/written/deeper/file") as writer:
        await writer.write(NEW)
        await writer.commit()
    say("written")


class CrashCases(CaseGroup):
    """What a commit leaves behind when nothing after it happens."""

    @case("F10", needs=("upload", "atomic_commit", "shared_between_processes"))
    async def test_process_killed_at_any_step_of_a_commit_leaves_old_or_new_whole(
        self, kit: Kit
    ) -> None:
        tokens: dict[str, str] = {}
        storage = kit.unopened(Stepping(kit.wrapped_driver()))
        async with kit.child(commit_and_die_at_each_step, storage=storage) as child:
            while (said := await child.said())[0] != "end":
                path, tokens[path] = said
        assert said[1] == 0, "a commit that was not killed failed"
        assert len(tokens) > 2, "before the call, after it, and done"
        *killed, done = tokens
        assert await kit.peek(done) == NEW
        for path in killed:
            assert await kit.peek(path) in (OLD, NEW), path
            async with await kit.storage.resume(tokens[path]) as writer:
                await writer.commit()
            assert await kit.peek(path) == NEW, path

    @case("F11", needs=("upload", "local_path", "durable_on_commit", "strace"))
    async def test_local_commit_makes_file_then_name_then_answer_durable(self, kit: Kit) -> None:
        with TemporaryDirectory() as directory:
            log = Path(directory, "calls")
            async with kit.child(publish_and_answer, prefix=trace_command(log)) as child:
                assert [await child.said(), await child.said()] == ["put", "written"]
                assert await child.wait() == 0
            calls = read_calls(log)
        for word in ("put", "written"):
            target = await kit.storage.local_path(f"/{word}/deeper/file")
            _assert_durable_in_order(calls, target, word)


def _assert_durable_in_order(calls: list[SystemCall], local_path: str, word: str) -> None:
    target = Path(local_path).resolve()
    answers = [call for call in calls if call.name == "write" and call.descriptor == ANSWER]
    answer = answers[("put", "written").index(word)]
    (publish,) = [
        call
        for call in calls
        if call.name.startswith(("rename", "link")) and call.places[-1] == str(target)
    ]
    assert publish.ended < answer.began
    staged = publish.places[0]
    written = [call for call in calls if "write" in call.name and call.path == staged]
    assert written, "the file that is renamed was never written"
    last = max(call.ended for call in written)
    assert any(
        last < call.began and call.ended < publish.began
        for call in calls
        if call.name in ("fsync", "fdatasync") and call.path == staged
    ), "the file is not synced before its name shows"
    made = [
        call
        for call in calls
        if call.name.startswith("mkdir") and target.is_relative_to(call.places[-1])
    ]
    for name, call in [(str(target), publish), *((each.places[-1], each) for each in made)]:
        holder = str(Path(name).parent)
        assert any(
            call.ended < sync.began and sync.ended < answer.began
            for sync in calls
            if sync.name == "fsync" and sync.path == holder
        ), f"{holder} is not synced between {call.name} and the answer"
