from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar
from unittest.mock import AsyncMock, Mock

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Capabilities,
    ConfigurationError,
    FileInfo,
    ListOptions,
    PutOptions,
    ReadOptions,
    StorageDriver,
)
from storagedriver_core.middleware._wrapper import DriverMiddleware

T = TypeVar("T")

PUBLIC = sorted(name for name in vars(StorageDriver) if not name.startswith("_"))
METHODS = sorted(set(PUBLIC) - {"capabilities", "wanted_digests"})
UNGUARDED = {"open", "aclose", "release_upload"}
LISTINGS = {"list", "walk", "list_uploads"}


class Recorder(DriverMiddleware):
    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.seen: list[tuple[str, str]] = []

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        self.seen.append((operation, path))
        return await call()


def recording_driver() -> Mock:
    driver = Mock(spec=StorageDriver)
    driver.name = "mock"
    driver.capabilities = Capabilities()
    driver.wanted_digests = ()
    return driver


def arguments_of(method: str) -> tuple[list[Any], dict[str, Any]]:
    """A different object for each argument, so that none can be mixed up."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in list(
        inspect.signature(getattr(StorageDriver, method)).parameters.items()
    )[1:]:
        value = Mock(name=name)
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            named[name] = value
        else:
            positional.append(value)
    return positional, named


def test_every_method_of_the_contract_is_wrapped() -> None:
    assert set(METHODS) <= set(vars(DriverMiddleware))


@pytest.mark.parametrize("method", sorted(set(METHODS) - LISTINGS))
def test_call_reaches_the_driver_with_its_arguments_and_result(method: str) -> None:
    driver = recording_driver()
    middleware = Recorder(driver)
    positional, named = arguments_of(method)
    result = getattr(middleware, method)(*positional, **named)
    if method != "release_upload":
        result = asyncio.run(result)
    target = getattr(driver, method)
    target.assert_called_once_with(*positional, **named)
    if method == "open_reader":
        assert result.info is target.return_value.info
    elif method not in {"open", "aclose", "release_upload"} and result is not None:
        assert result is target.return_value
    assert [operation for operation, _ in middleware.seen] == (
        [] if method in UNGUARDED else [method]
    )


@pytest.mark.parametrize("method", sorted(LISTINGS))
def test_each_page_of_a_listing_goes_through_around(method: str) -> None:
    async def pages() -> AsyncGenerator[Sequence[str], None]:
        yield ["a"]
        yield []
        yield ["b"]

    async def main() -> None:
        driver = recording_driver()
        getattr(driver, method).return_value = pages()
        middleware = Recorder(driver)
        positional, _ = arguments_of(method)
        got = [page async for page in getattr(middleware, method)(*positional)]
        assert got == [["a"], [], ["b"]]
        getattr(driver, method).assert_called_once_with(*positional)
        assert [operation for operation, _ in middleware.seen] == [method] * 4

    asyncio.run(main())


def test_listing_that_is_left_closes_the_drivers() -> None:
    closed = []

    async def pages() -> AsyncGenerator[Sequence[FileInfo], None]:
        try:
            yield []
            yield []
        finally:
            closed.append(True)

    async def main() -> None:
        driver = recording_driver()
        driver.list.return_value = pages()
        listing = DriverMiddleware(driver).list("/", ListOptions())
        await anext(listing)
        await listing.aclose()
        assert closed == [True]

    asyncio.run(main())


def test_each_chunk_goes_through_around_and_closing_does_not() -> None:
    async def main() -> None:
        middleware = Recorder(InMemoryDriver())
        await middleware.put_content("/a", b"x", PutOptions())
        async with await middleware.open_reader("/a", ReadOptions()) as stream:
            assert await stream.next_chunk() == b"x"
            assert await stream.next_chunk() == b""
        assert middleware.seen == [
            ("put_content", "/a"),
            ("open_reader", "/a"),
            ("read", "/a"),
            ("read", "/a"),
        ]

    asyncio.run(main())


def test_stream_is_closed_with_the_drivers() -> None:
    driver = recording_driver()
    driver.open_reader = AsyncMock()
    stream = asyncio.run(DriverMiddleware(driver).open_reader("/a", ReadOptions()))
    asyncio.run(stream.aclose())
    driver.open_reader.return_value.aclose.assert_awaited_once_with()


def test_name_is_that_of_the_wrapped_driver() -> None:
    assert DriverMiddleware(Recorder(InMemoryDriver())).name == "inmemory"


def test_capabilities_are_narrowed() -> None:
    driver = InMemoryDriver()
    assert DriverMiddleware(driver).capabilities == driver.capabilities
    narrowed = DriverMiddleware(driver, narrow={"copy": False}).capabilities
    assert narrowed == driver.capabilities.narrow({"copy": False})


def test_capabilities_are_never_widened() -> None:
    with pytest.raises(ConfigurationError, match="local_path"):
        DriverMiddleware(InMemoryDriver(), narrow={"local_path": True})


def test_digests_that_a_driver_wants_once_it_is_open_are_asked_for() -> None:
    class Wanting(InMemoryDriver):
        async def open(self) -> None:
            await super().open()
            self.wanted_digests = ("md5",)

    class Adding(DriverMiddleware):
        own_digests = ("sha256",)

    async def main() -> None:
        driver = Adding(DriverMiddleware(Wanting()))
        assert list(driver.wanted_digests) == ["sha256"]
        await driver.open()
        assert list(driver.wanted_digests) == ["sha256", "md5"]
        await driver.aclose()

    asyncio.run(main())
