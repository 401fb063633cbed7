"""Any sequence of operations against a model: N25."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from storagedriver_core import (
    ConflictError,
    FileWriter,
    InvalidOffsetError,
    PathNotFoundError,
    Storage,
    UploadToken,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._store_model import Errors, StoreModel
from storagedriver_testsuite.cases._support import names

T = TypeVar("T")

PHASES = [Phase.generate, Phase.shrink]
# Where each step costs requests: as many as still meet each operation with each other.
REMOTE_EXAMPLES = 8
SETTINGS = settings(
    max_examples=30,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

# Prefixes of each other, and characters that sort before and after "/".
COMPONENTS = {
    "portable": ["a", "b", "ab", "a-b", "a.b"],
    "unicode": ["a b", "a!", "é"],
    "any": ["a\n"],
}
PLACES = st.integers(0, 8)
SIZES = st.sampled_from([0, 1, 100, PART - 1, PART, PART + 1, 2 * PART + 7])
CHUNK_SIZES = st.lists(SIZES, max_size=2)
ENDS = ["commit", "cancel", "suspend"]
PAGE_SIZES = st.sampled_from([1, 2, 3, 1000])
MOST_BYTES = 6 * PART


@dataclass(frozen=True, slots=True)
class Suspended:
    """An upload that somebody will go on with."""

    token: UploadToken
    path: str
    data: bytes


def expecting(errors: Errors) -> AbstractContextManager[object]:
    """Expect one of `errors`, or success if there are none."""
    return pytest.raises(errors) if errors else nullcontext()


class StorageMachine(RuleBasedStateMachine):
    """Does the same to a storage and to the model, and compares.

    Hypothesis calls from a thread; everything of the storage runs on the case's loop.
    """

    def __init__(self, kit: Kit, storage: Storage, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._kit = kit
        self._storage = storage
        self._loop = loop
        self._declared = storage.capabilities
        self._model = StoreModel(self._declared)
        self._suspended: list[Suspended] = []
        self._paths: list[str] = []
        self._numbers = itertools.count()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def _bytes(self, size: int) -> bytes:
        """Give bytes that no other call gave."""
        pattern = b"%d," % next(self._numbers)
        return (pattern * (size // len(pattern) + 1))[:size]

    def _path(self, place: int) -> str:
        return self._paths[place % len(self._paths)]

    def _file(self, place: int) -> str:
        """Choose a file, or now and then a path that may be none."""
        files = [*sorted(self._model.files), self._path(place)]
        return files[place % len(files)]

    @initialize(data=st.data())
    def choose_paths(self, data: st.DataObject) -> None:
        """Draw the paths of this run, and store some files."""
        components: list[str] = []
        for alphabet, some in COMPONENTS.items():
            components += some
            if alphabet == self._declared.path_alphabet:
                break
        # Few, so that they meet: a file here, a directory there, a target that was a source.
        few = data.draw(st.lists(st.sampled_from(components), min_size=2, max_size=3, unique=True))
        path = st.lists(st.sampled_from(few), min_size=1, max_size=3)
        files = data.draw(st.lists(path, min_size=3, max_size=6))
        known = {tuple(file[:depth]) for file in files for depth in range(1, len(file) + 1)}
        self._paths = sorted("/" + "/".join(parts) for parts in known)
        for file in files:
            self.put(self._paths.index("/" + "/".join(file)), data.draw(SIZES))

    # Reading -----------------------------------------------------------------------------------

    @rule(place=PLACES, offset=SIZES, length=st.none() | SIZES, page_size=PAGE_SIZES)
    def look(self, place: int, offset: int, length: int | None, page_size: int) -> None:
        """Look at one path in every way."""
        path = self._path(place)
        self._run(self._stat_and_get(path))
        if self._declared.get_range:
            self._run(self._get_range(path, offset, length))
        for directory in [path, "/"]:
            self._run(self._list(directory, page_size))
        if self._declared.walk_with_start_after:
            self._run(self._walk_the_rest(path, page_size))

    async def _stat_and_get(self, path: str) -> None:
        data = self._model.files.get(path)
        is_there = data is not None or self._model.is_directory(path)
        with expecting(() if is_there else (PathNotFoundError,)):
            info = await self._storage.stat(path)
            assert (info.path, info.is_dir) == (path, data is None)
            assert info.size == len(data or b"")
        with expecting(self._model.errors_of_get(path)):
            assert await self._storage.get_content(path) == data

    async def _get_range(self, path: str, offset: int, length: int | None) -> None:
        data = self._model.files.get(path, b"")
        errors = self._model.errors_of_get(path)
        if not errors and offset > len(data):
            errors = (InvalidOffsetError,)
        end = None if length is None else offset + length
        with expecting(errors):
            async with await self._storage.reader(path, offset=offset, length=length) as reader:
                assert await reader.read() == data[offset:end]

    async def _list(self, path: str, page_size: int) -> None:
        errors: Errors = () if self._model.is_directory(path) else (PathNotFoundError,)
        for listing, expected in [
            (self._storage.list, self._model.children(path)),
            (self._storage.walk, self._model.below(path)),
        ]:
            with expecting(errors):
                found = await names(listing(path, page_size=page_size))
                assert (found if self._declared.ordered_walk else sorted(found)) == expected

    async def _walk_the_rest(self, after: str, page_size: int) -> None:
        walk = self._storage.walk("/", start_after=after, page_size=page_size)
        rest = [path for path in self._model.below("/") if path > after]
        assert sorted(await names(walk)) == rest

    # Writing -----------------------------------------------------------------------------------

    @rule(place=PLACES, size=SIZES)
    def put(self, place: int, size: int) -> None:
        """Store a file."""
        path, data = self._path(place), self._bytes(size)
        errors = self._model.errors_of_put(path)
        with expecting(errors):
            self._run(self._storage.put_content(path, data))
        if not errors:
            self._model.files[path] = data

    @precondition(lambda self: self._declared.upload)
    @rule(place=PLACES, sizes=CHUNK_SIZES, end=st.sampled_from([*ENDS, "leave"]))
    def write(self, place: int, sizes: list[int], end: str) -> None:
        """Open a writer, write, and be done with it in one way or another."""
        path = self._path(place)
        self._write(self._storage.writer(path), path, b"", sizes, end)

    @precondition(lambda self: self._suspended)
    @rule(which=PLACES, sizes=CHUNK_SIZES, end=st.sampled_from(ENDS))
    def resume(self, which: int, sizes: list[int], end: str) -> None:
        """Go on with a writer from its token."""
        upload = self._suspended.pop(which % len(self._suspended))
        opening = self._storage.resume(upload.token.to_json())
        self._write(opening, upload.path, upload.data, sizes, end)

    def _write(
        self,
        opening: Coroutine[Any, Any, FileWriter],
        path: str,
        data: bytes,
        sizes: list[int],
        end: str,
    ) -> None:
        if end == "suspend" and not self._declared.independent_uploads:
            end = "leave"  # other changes of the path would disturb it
        chunks = [self._bytes(size) for size in sizes]
        if len(data) + sum(sizes) > MOST_BYTES:
            chunks = []
        whole = b"".join([data, *chunks])

        async def write() -> None:
            async with await opening as writer:
                assert (writer.path, writer.offset) == (path, len(data))
                for chunk in chunks:
                    await writer.write(chunk)
                assert writer.offset == len(whole)
                if end == "suspend":
                    self._suspended.append(Suspended(await writer.suspend(), path, whole))
                elif end == "cancel":
                    await writer.cancel()
                elif end == "commit":
                    try:
                        await writer.commit()
                    except ConflictError:
                        await writer.cancel()
                        raise

        errors = self._model.errors_of_put(path) if end == "commit" else ()
        with expecting(errors):
            self._run(write())
        if end == "commit" and not errors:
            self._model.files[path] = whole

    # Moving and deleting -----------------------------------------------------------------------

    @rule(place=PLACES, to=PLACES)
    def move(self, place: int, to: int) -> None:
        """Move a file."""
        source, target = self._file(place), self._path(to)
        if self._transfer(self._storage.move, source, target) and source != target:
            del self._model.files[source]

    @precondition(lambda self: self._declared.copy)
    @rule(place=PLACES, to=PLACES)
    def copy(self, place: int, to: int) -> None:
        """Copy a file."""
        self._transfer(self._storage.copy, self._file(place), self._path(to))

    def _transfer(
        self, verb: Callable[[str, str], Coroutine[Any, Any, None]], source: str, target: str
    ) -> bool:
        errors = self._model.errors_of_move(source, target)
        with expecting(errors):
            self._run(verb(source, target))
        if not errors:
            self._model.files[target] = self._model.files[source]
        return not errors

    # Not of the last few: with little in it, a store has little to get wrong.
    @precondition(lambda self: len(self._model.files) > 2)
    @rule(place=PLACES)
    def delete(self, place: int) -> None:
        """Delete a file or a tree."""
        path = self._path(place)
        is_there = path in self._model.files or self._model.is_directory(path)
        with expecting(() if is_there else (PathNotFoundError,)):
            self._run(self._storage.delete(path))
        self._model.delete(path)

    @invariant()
    def names_are_the_same(self) -> None:
        """Compare the names after each step."""
        assert sorted(self._run(names(self._storage.walk("/")))) == self._model.below("/")

    def teardown(self) -> None:
        """Compare everything, and leave the store empty for the next run."""
        self._run(self._finish())

    async def _finish(self) -> None:
        try:
            for path, data in self._model.files.items():
                assert await self._kit.peek(path) == data
            for upload in self._suspended:
                await (await self._storage.resume(upload.token)).cancel()
            await self._storage.delete("/", everything=True)
            assert await self._kit.harness.raw_list() == []
        finally:
            # Also after a failure: Hypothesis repeats it from an empty store.
            await self._storage.delete("/", everything=True)
            if self._declared.list_uploads:
                await self._storage.purge_uploads(older_than=timedelta(0))


class ModelCases(CaseGroup):
    """Sequences of operations that nobody thought of."""

    @case("N25")
    async def test_any_sequence_of_operations_agrees_with_a_model(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        loop = asyncio.get_running_loop()
        # Finding the shortest sequence that fails takes minutes.
        chosen = settings(SETTINGS, phases=PHASES[: 2 if kit.large else 1])
        if kit.harness.is_remote and not kit.large:
            chosen = settings(chosen, max_examples=REMOTE_EXAMPLES)

        def run_machines() -> None:
            make: Any = functools.partial(StorageMachine, kit, storage, loop)
            run_state_machine_as_test(make, settings=chosen)

        await asyncio.to_thread(run_machines)
