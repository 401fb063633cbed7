from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta

import pytest
from pydantic import ValidationError
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    ConfigurationError,
    FileInfo,
    InvalidPathError,
    ListOptions,
    PartialDeleteError,
    PathNotFoundError,
    PermissionDeniedError,
    PutOptions,
    ReadOptions,
    Storage,
    UnavailableError,
)
from storagedriver_core.middleware.prefix import PrefixMiddleware, PrefixParameters
from storagedriver_core.tests.faults import Faults

PREFIX = "/a/b"


def prefixed(driver: InMemoryDriver | Faults) -> PrefixMiddleware:
    return PrefixMiddleware(driver, PrefixParameters(prefix=PREFIX))


async def paths(pages: AsyncGenerator[Sequence[FileInfo], None]) -> list[str]:
    return [entry.path async for page in pages for entry in page]


def test_everything_lies_below_the_prefix() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        async with Storage(prefixed(inner)) as storage:
            info = await storage.put_content("/x/y", b"data")
            assert info.path == "/x/y"
            assert info == await storage.stat("/x/y")
            assert await inner.get_content("/a/b/x/y") == b"data"
            assert await storage.get_content("/x/y") == b"data"
            async with await storage.reader("/x/y") as reader:
                assert reader.info.path == "/x/y"
                assert await reader.read() == b"data"
            await storage.copy("/x/y", "/c")
            await storage.move("/x/y", "/m")
            assert await paths(inner.walk("/", ListOptions())) == ["/a/b/c", "/a/b/m"]
            assert len(await storage.checksum("/c", "sha256")) == 64
            report = await storage.delete_many(["/c", "/none"])
            assert report.deleted == ("/c",)
            assert report.missing == ("/none",)
            await storage.delete("/m")
            assert await paths(inner.walk("/", ListOptions())) == []

    asyncio.run(main())


def test_listings_show_outer_paths_and_nothing_else() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        for path in ("/a/b/d/1", "/a/b/d/2", "/a/b/e", "/a/bc", "/z"):
            await inner.put_content(path, b"", PutOptions())
        async with Storage(prefixed(inner)) as storage:
            assert [entry.path async for entry in storage.list("/")] == ["/d", "/e"]
            assert [entry.path async for entry in storage.walk("/")] == ["/d/1", "/d/2", "/e"]
            after = storage.walk("/", start_after="/d/1", page_size=1)
            assert [entry.path async for entry in after] == ["/d/2", "/e"]
            after = storage.list("/", start_after="/d/")
            assert [entry.path async for entry in after] == ["/e"]

    asyncio.run(main())


def test_root_exists_where_the_prefix_does_not() -> None:
    async def main() -> None:
        async with Storage(prefixed(InMemoryDriver())) as storage:
            info = await storage.stat("/")
            assert (info.path, info.is_dir) == ("/", True)
            assert [entry async for entry in storage.list("/")] == []
            assert [entry async for entry in storage.walk("/")] == []
            await storage.check()
            await storage.delete("/", everything=True)
            with pytest.raises(PathNotFoundError) as caught:
                await anext(storage.list("/d"))
            assert caught.value.path == "/d"

    asyncio.run(main())


def test_delete_of_root_leaves_the_rest_and_the_sidecars_of_uploads() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        kept = "/a/b/.storagedriver/tails/1"
        for path in ("/a/b/d/1", "/a/b/e", "/a/bc", kept):
            await inner.put_content(path, b"", PutOptions())
        async with Storage(prefixed(inner)) as storage:
            await storage.delete("/", everything=True)
        assert await paths(inner.walk("/", ListOptions())) == [kept, "/a/bc"]

    asyncio.run(main())


def test_delete_of_root_goes_on_after_a_failure_and_reports_it() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        for path in ("/a/b/d/1", "/a/b/e/1"):
            await inner.put_content(path, b"", PutOptions())
        faults = Faults(inner)
        failure = PermissionDeniedError(path="/a/b/d/1")
        faults.fail("delete", PartialDeleteError(failures={"/a/b/d/1": failure}))
        with pytest.raises(PartialDeleteError) as caught:
            await prefixed(faults).delete("/")
        assert caught.value.failures == {"/d/1": failure}
        assert failure.path == "/d/1"
        assert await paths(inner.walk("/", ListOptions())) == ["/a/b/d/1"]

    asyncio.run(main())


def test_uploads_carry_outer_paths_and_are_resumed_by_them() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        async with Storage(prefixed(inner)) as storage, Storage(inner) as bare:
            elsewhere = await bare.writer("/a/bc")
            writer = await storage.writer("/x")
            await writer.write(b"one")
            token = await writer.suspend()
            assert token.upload.path == "/x"
            assert [info.upload.path async for info in storage.list_uploads()] == ["/x"]
            assert {info.upload.path async for info in bare.list_uploads()} == {"/a/b/x", "/a/bc"}

            writer = await storage.resume(token.to_json())
            await writer.write(b"two")
            info = await writer.commit(to="/y")
            assert info.path == "/y"
            assert await bare.get_content("/a/b/y") == b"onetwo"

            await elsewhere.cancel()

    asyncio.run(main())


def test_upload_that_was_completed_is_found_by_its_outer_path() -> None:
    async def main() -> None:
        async with Storage(prefixed(InMemoryDriver())) as storage:
            writer = await storage.writer("/x")
            await writer.write(b"one")
            token = await writer.suspend()
            await (await storage.resume(token)).commit()
            assert (await (await storage.resume(token)).commit()).path == "/x"

    asyncio.run(main())


def test_cancelled_uploads_are_gone_below_the_prefix() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        async with Storage(prefixed(inner)) as storage:
            writer = await storage.writer("/x")
            await writer.cancel()
            await storage.writer("/y")
            purged = await storage.purge_uploads(older_than=timedelta(seconds=-1))
            assert [info.upload.path for info in purged] == ["/y"]
            assert [page async for page in inner.list_uploads()] == [[]]

    with pytest.warns(ResourceWarning, match="never closed"):
        asyncio.run(main())


def test_errors_name_outer_paths() -> None:
    async def main() -> None:
        faults = Faults(InMemoryDriver())
        driver = prefixed(faults)
        faults.fail("stat", PathNotFoundError(path="/a/b/x"))
        with pytest.raises(PathNotFoundError) as caught:
            await driver.stat("/x")
        assert caught.value.path == "/x"
        faults.fail("walk", UnavailableError(path="/a/b"))
        with pytest.raises(UnavailableError) as broken:
            await paths(driver.walk("/", ListOptions()))
        assert broken.value.path == "/"
        faults.fail("move", UnavailableError(path="/elsewhere"))
        with pytest.raises(UnavailableError) as other:
            await driver.move("/x", "/y")
        assert other.value.path == "/elsewhere"

    asyncio.run(main())


def test_path_like_the_prefix_is_translated_once() -> None:
    async def main() -> None:
        faults = Faults(InMemoryDriver())
        driver = prefixed(faults)
        await driver.put_content("/a/b/x", b"1", PutOptions())
        async with await driver.open_reader("/a/b/x", ReadOptions()) as stream:
            assert stream.info.path == "/a/b/x"
            faults.fail("read", UnavailableError(path="/a/b/a/b/x"))
            with pytest.raises(UnavailableError) as caught:
                await stream.next_chunk()
        assert caught.value.path == "/a/b/x"

    asyncio.run(main())


def test_failures_of_delete_many_name_outer_paths() -> None:
    class Refusing(InMemoryDriver):
        async def delete(self, path: str) -> None:
            raise PermissionDeniedError(path=path)

    async def main() -> None:
        report = await prefixed(Refusing()).delete_many(["/x"])
        assert [(path, error.path) for path, error in report.failed.items()] == [("/x", "/x")]

    asyncio.run(main())


def test_longest_path_is_shorter_by_the_prefix() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        most = inner.capabilities.max_path_bytes
        driver = prefixed(inner)
        assert driver.capabilities == inner.capabilities.narrow(
            {"max_path_bytes": most - len(PREFIX)}
        )
        async with Storage(driver) as storage:
            longest = "/" + "x" * (most - len(PREFIX) - 1)
            await storage.put_content(longest, b"")
            with pytest.raises(InvalidPathError):
                await storage.put_content(f"{longest}x", b"")

    asyncio.run(main())


@pytest.mark.parametrize("prefix", ["", "/", "a", "/a/", "/a//b", "/a/..", "/.storagedriver"])
def test_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError):
        PrefixMiddleware(InMemoryDriver(), PrefixParameters(prefix=prefix))


def test_prefix_that_leaves_no_room_is_refused() -> None:
    most = InMemoryDriver().capabilities.max_path_bytes
    with pytest.raises(ConfigurationError):
        PrefixMiddleware(InMemoryDriver(), PrefixParameters(prefix="/" + "x" * (most - 1)))


def test_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError):
        PrefixParameters.model_validate({"prefix": "/a", "prefx": "/b"})


def test_local_paths_and_signed_urls_are_of_the_inner_path() -> None:
    class Local(InMemoryDriver):
        async def local_path(self, path: str) -> str:
            return f"/disk{path}"

        async def redirect_url(
            self, path: str, *, method: str, expires: timedelta, content_type: str | None = None
        ) -> str:
            return f"https://store{path}?type={content_type}"

    async def main() -> None:
        driver = prefixed(Local())
        assert await driver.local_path("/x") == "/disk/a/b/x"
        url = await driver.redirect_url(
            "/x", method="PUT", expires=timedelta(1), content_type="a/b"
        )
        assert url == "https://store/a/b/x?type=a/b"

    asyncio.run(main())
