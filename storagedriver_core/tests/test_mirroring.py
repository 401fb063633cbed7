"""What a mirror copies, leaves and deletes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storagedriver_core import ConflictError, FileInfo, PathNotFoundError, Storage, open_storage
from storagedriver_core._mirroring import Mirror, MirrorEvent, MirrorOptions, MirrorReport


class Kept:
    """States in a dictionary."""

    def __init__(self, states: dict[str, str], name: str) -> None:
        self._states, self._name = states, name

    def load(self) -> str | None:
        return self._states.get(self._name)

    def save(self, state: str) -> None:
        self._states[self._name] = state

    def clear(self) -> None:
        self._states.pop(self._name, None)


class Pair:
    """Two storages, and what mirrors of the one to the other told."""

    def __init__(self, source: Storage, target: Storage) -> None:
        self.source = source
        self.target = target
        self.events: list[MirrorEvent] = []
        self.progress: list[tuple[int, int]] = []
        self.states: dict[str, str] = {}

    async def mirror(
        self, options: MirrorOptions | None = None, *, begin: str = "/", end: str = "/"
    ) -> MirrorReport:
        self.events.clear()
        return await Mirror(
            self.source,
            begin,
            self.target,
            end,
            options,
            state_of=lambda path, place: Kept(self.states, f"{path} {place}"),
            on_event=self.events.append,
            on_progress=lambda done, total: self.progress.append((done, total)),
        ).run()

    def told(self) -> set[tuple[str, str]]:
        return {(event.action, event.path) for event in self.events}


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    config = {"storage": {"driver": "inmemory"}}
    async with open_storage(config) as source, open_storage(config) as target:
        yield Pair(source, target)


def on_disk(directory: Path) -> Storage:
    parameters = {"root_directory": str(directory)}
    return open_storage({"storage": {"driver": "filesystem", "parameters": parameters}})


def run(work: Callable[[Pair], Awaitable[None]]) -> None:
    async def main() -> None:
        async with pair() as both:
            await work(both)

    asyncio.run(main())


async def fill(storage: Storage, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        await storage.put_content(path, content)


async def files_of(storage: Storage) -> dict[str, bytes]:
    return {info.path: await storage.get_content(info.path) async for info in storage.walk("/")}


FILES = {"/a": b"1", "/a-b/c": b"22", "/a.d": b"333", "/d/e": b"4444", "/z": b""}


def test_all_is_copied_and_a_second_time_nothing() -> None:
    async def work(both: Pair) -> None:
        await fill(both.source, FILES)
        report = await both.mirror()
        assert (report.copied, report.copied_bytes, report.unchanged) == (5, 10, 0)
        assert await files_of(both.target) == FILES
        assert both.progress[-1] == (10, 10)
        report = await both.mirror()
        assert (report.copied, report.unchanged, both.events) == (0, 5, [])

    run(work)


def test_content_type_and_metadata_go_along() -> None:
    async def work(both: Pair) -> None:
        await both.source.put_content("/a", b"1", content_type="text/x", metadata={"k": "v"})
        await both.mirror()
        info = await both.target.stat("/a")
        assert (info.content_type, info.metadata) == ("text/x", {"k": "v"})

    run(work)


def test_a_newer_source_and_one_of_another_size_are_copied() -> None:
    async def work(both: Pair) -> None:
        await fill(both.source, {"/size": b"12", "/time": b"new"})
        await fill(both.target, {"/size": b"1"})
        await fill(both.target, {"/time": b"old"})
        await fill(both.source, {"/time": b"new"})
        await both.mirror()
        assert await files_of(both.target) == {"/size": b"12", "/time": b"new"}

    run(work)


def test_equal_sizes_are_told_apart_by_digest_where_times_are_close_or_it_is_asked(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with on_disk(tmp_path) as source, pair() as both:
            both.source = source
            await fill(source, {"/a": b"1"})
            await fill(both.target, {"/a": b"2"})
            # A copy of what was replaced while it was copied looks like this.
            assert (await both.mirror()).copied == 1
            await fill(both.target, {"/a": b"2"})
            os.utime(tmp_path / "a", (0, 0))
            assert (await both.mirror()).unchanged == 1
            assert (await both.mirror(MirrorOptions(checksum=True))).copied == 1
            assert await files_of(both.target) == {"/a": b"1"}

    asyncio.run(work())


def test_clocks_of_stores_that_differ_are_allowed_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with on_disk(tmp_path) as source, pair() as both:
            both.source = source
            await fill(source, {"/a": b"1"})
            await fill(both.target, {"/a": b"2"})
            # Written at the same moment, by a source whose clock is an hour behind.
            hour_ago = time.time() - 3600
            os.utime(tmp_path / "a", (hour_ago, hour_ago))
            behind = datetime.fromtimestamp(hour_ago, UTC)

            async def now() -> datetime:
                return behind

            monkeypatch.setattr(source, "now", now)
            assert (await both.mirror()).copied == 1

    asyncio.run(work())


def test_a_source_that_is_replaced_while_it_is_copied_is_copied_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with on_disk(tmp_path) as source, pair() as both:
            await fill(source, {"/a": b"1"})

            class Replacing(Kept):
                def clear(self) -> None:
                    # The copy has ended, and nobody has looked yet.
                    if (tmp_path / "a").read_bytes() == b"1":
                        (tmp_path / "new").write_bytes(b"2")
                        (tmp_path / "new").rename(tmp_path / "a")

            mirror = Mirror(
                source, "/", both.target, "/", state_of=lambda path, place: Replacing({}, path)
            )
            await mirror.run()
            assert await files_of(both.target) == {"/a": b"2"}

    asyncio.run(work())


def test_a_target_that_misses_something_is_a_failure_and_no_vanished_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(both: Pair) -> None:
        await fill(both.source, {"/a": b"1"})

        async def missing(*_: object, **__: object) -> None:
            raise PathNotFoundError("no bucket")

        monkeypatch.setattr(both.target, "writer", missing)
        report = await both.mirror()
        assert (list(report.failed), report.vanished) == (["a"], 0)

    run(work)


def test_what_the_source_has_not_is_deleted_only_if_asked() -> None:
    async def work(both: Pair) -> None:
        await fill(both.source, {"/b": b"1"})
        await fill(both.target, {"/a": b"1", "/b/c": b"1", "/z/y": b"1"} | {"/c": b"1"})
        await both.target.delete("/b")
        report = await both.mirror()
        assert (report.extra, report.deleted) == (3, 0)
        report = await both.mirror(MirrorOptions(delete=True, dry_run=True))
        assert both.told() == {("deleted", "a"), ("deleted", "c"), ("deleted", "z/y")}
        assert len(await files_of(both.target)) == 4
        report = await both.mirror(MirrorOptions(delete=True))
        assert (report.extra, report.deleted) == (0, 3)
        assert await files_of(both.target) == {"/b": b"1"}

    run(work)


def test_an_empty_source_deletes_nothing() -> None:
    async def work(both: Pair) -> None:
        await fill(both.target, {"/a": b"1"})
        with pytest.raises(ConflictError, match="holds no file"):
            await both.mirror(MirrorOptions(delete=True))
        assert await files_of(both.target) == {"/a": b"1"}

    run(work)


def test_a_dry_run_tells_and_changes_nothing() -> None:
    async def work(both: Pair) -> None:
        await fill(both.source, FILES)
        report = await both.mirror(MirrorOptions(dry_run=True))
        assert (report.copied, report.copied_bytes) == (5, 10)
        assert both.told() == {("copied", path[1:]) for path in FILES}
        assert await files_of(both.target) == {}

    run(work)


def test_a_directory_goes_to_another_and_patterns_are_left_alone_at_both_ends() -> None:
    async def work(both: Pair) -> None:
        await fill(both.source, {"/r/a/_uploads/1": b"1", "/r/a/b": b"1", "/s": b"1"})
        await fill(both.target, {"/t/a/_uploads/2": b"1"})
        options = MirrorOptions(delete=True, exclude=("*/_uploads/*",))
        report = await both.mirror(options, begin="/r", end="/t")
        assert (report.copied, report.deleted) == (1, 0)
        assert await files_of(both.target) == {"/t/a/_uploads/2": b"1", "/t/a/b": b"1"}

    run(work)


def test_a_file_that_fails_does_not_stop_the_others_and_keeps_all_from_being_deleted(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with on_disk(tmp_path) as target, pair() as both:
            both.target = target
            await fill(both.source, {"/a": b"1", "/b": b"1"})
            # What is a file there is a directory here.
            await fill(target, {"/a/below": b"1", "/extra": b"1"})
            report = await both.mirror(MirrorOptions(delete=True))
            assert list(report.failed) == ["a"]
            assert both.told() == {("failed", "a"), ("copied", "b")}
            assert await files_of(target) == {"/a/below": b"1", "/b": b"1", "/extra": b"1"}

    asyncio.run(work())


def test_a_file_that_vanishes_after_it_was_listed_is_left_out(tmp_path: Path) -> None:
    async def work() -> None:
        async with on_disk(tmp_path) as source, pair() as both:
            await fill(source, {"/a": b"1", "/b": b"1"})

            def vanish(event: MirrorEvent) -> None:
                both.events.append(event)
                (tmp_path / "b").unlink(missing_ok=True)

            mirror = Mirror(
                source,
                "/",
                both.target,
                "/",
                MirrorOptions(jobs=1),
                state_of=lambda path, place: Kept(both.states, path),
                on_event=vanish,
            )
            report = await mirror.run()
            assert (report.copied, report.vanished) == (1, 1)
            assert both.told() == {("copied", "a"), ("vanished", "b")}

    asyncio.run(work())


def test_a_source_that_is_not_there_is_an_error() -> None:
    async def work(both: Pair) -> None:
        with pytest.raises(PathNotFoundError):
            await both.mirror(begin="/none")

    run(work)


def test_stores_that_list_in_no_order_are_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        config = {"storage": {"driver": "inmemory", "capabilities": {"ordered_walk": False}}}
        async with open_storage(config) as source, pair() as both:
            both.source = source
            await fill(source, FILES)
            in_order = [info async for info in source.walk("/")]

            async def walk(path: str) -> AsyncIterator[FileInfo]:
                for info in reversed(in_order):
                    yield info

            monkeypatch.setattr(source, "walk", walk)
            assert (await both.mirror()).copied == 5
            report = await both.mirror(MirrorOptions(delete=True))
            assert (report.unchanged, report.deleted) == (5, 0)
            assert await files_of(both.target) == FILES

    asyncio.run(work())


def test_another_size_is_copied_whatever_the_times_say(tmp_path: Path) -> None:
    async def work() -> None:
        async with on_disk(tmp_path) as source, pair() as both:
            both.source = source
            await fill(source, {"/a": b"12"})
            os.utime(tmp_path / "a", (0, 0))
            await fill(both.target, {"/a": b"1"})
            assert (await both.mirror()).copied == 1
            assert await files_of(both.target) == {"/a": b"12"}

    asyncio.run(work())
