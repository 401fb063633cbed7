"""Bodies that are read from the socket: what becomes of them and of their connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from storagedriver_s3._config import S3Config
from storagedriver_s3._driver import S3Driver
from storagedriver_s3._reading import S3Stream
from storagedriver_s3._socket_body import SocketBody

from storagedriver_core import (
    FileInfo,
    OperationTimeoutError,
    ReadOptions,
    Storage,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_core.middleware.retry import RetryMiddleware, RetryParameters

from .written_store import DATA, MIB, Exchange, Store, certificate, half, whole

# For what comes at once, unless something hangs.
PATIENCE = 60


def made(store: Store, **parameters: object) -> S3Driver:
    given = {"bucket": "bucket", "endpoint": store.url, "access_key": "a", "secret_key": "s"}
    return S3Driver(S3Config.model_validate({**given, "region": "r", **parameters}))


@contextlib.asynccontextmanager
async def opened(store: Store, **parameters: object) -> AsyncIterator[S3Driver]:
    driver = made(store, **parameters)
    await driver.open()
    try:
        yield driver
    finally:
        await driver.aclose()


async def stream_of(driver: S3Driver) -> S3Stream:
    """Open the object, and see that its body is read from the socket."""
    stream = await driver.open_reader("/object", ReadOptions())
    assert isinstance(stream, S3Stream)
    assert isinstance(stream._body, SocketBody)
    return stream


async def until(holds: Callable[[], bool]) -> None:
    """Give all others a turn again and again until something holds."""
    while not holds():  # noqa: ASYNC110  # nothing tells of it
        await asyncio.sleep(0)


def waiting_at(stream: S3Stream) -> int:
    """Give how many bytes the kernel has for a stream."""
    body: Any = stream._body
    try:
        return len(body._socket.recv(MIB, socket.MSG_PEEK))
    except BlockingIOError:
        return 0


async def rest_of(stream: S3Stream) -> bytes:
    chunks = []
    while chunk := await stream.next_chunk():
        chunks.append(chunk)
    return b"".join(chunks)


Scenario = Callable[[], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of loop; one that hangs fails."""

    def in_time(scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(scenario(), PATIENCE))

    return in_time


def test_connection_whose_body_was_read_is_used_again(run: Run) -> None:
    async def small(exchange: Exchange) -> None:
        await exchange.head(size=9)
        await exchange.send(DATA[:9])

    async def scenario() -> None:
        async with Store(whole, whole, small) as store, opened(store) as driver:
            for _ in range(2):
                async with await stream_of(driver) as stream:
                    assert await rest_of(stream) == DATA
            assert await driver.get_content("/object") == DATA[:9]
            assert [exchange.connection for exchange in store.exchanges] == [0, 0, 0]

    run(scenario)


def test_what_aiohttp_has_read_ahead_comes_first(run: Run) -> None:
    async def scenario() -> None:
        async with Store(whole, whole) as store, opened(store) as driver:
            for _ in range(2):
                answer = await driver._bucket.read("get_object", Key="object")
                response = answer["Body"].raw_stream
                # It stops at twice what it wants to have.
                while response.connection.transport.is_reading():  # noqa: ASYNC110  # no event
                    await asyncio.sleep(0)
                assert SocketBody.can_take(response, len(DATA))
                body = SocketBody(response, len(DATA))
                data = b""
                while chunk := await body.read(MIB):
                    data += chunk
                assert data == DATA
            assert [exchange.connection for exchange in store.exchanges] == [0, 0]

    run(scenario)


def test_part_and_what_comes_in_drops_is_read(run: Run) -> None:
    async def drops(exchange: Exchange) -> None:
        await exchange.head()
        for start in range(exchange.offset, len(DATA), 70_000):
            await exchange.send(DATA[start : start + 70_000])
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with Store(drops, drops) as store, Storage(made(store)) as storage:
            for offset in (0, 1234):
                async with await storage.reader("/object", offset=offset) as reader:
                    assert await reader.read() == DATA[offset:]
            assert [exchange.connection for exchange in store.exchanges] == [0, 0]

    run(scenario)


def test_bytes_beyond_the_body_are_not_given_and_end_the_connection(run: Run) -> None:
    last, beyond = 1000, b"HTTP/1.1 200 OK\r\n"
    wanted = asyncio.Event()

    async def more(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(DATA[:-last])
        await wanted.wait()
        await exchange.send(DATA[-last:] + beyond)

    async def scenario() -> None:
        async with Store(more, whole) as store, opened(store) as driver:
            async with await stream_of(driver) as stream:
                data = b""
                while stream._left > last:
                    data += await stream.next_chunk()
                wanted.set()
                await until(lambda: waiting_at(stream) == last + len(beyond))
                assert data + await rest_of(stream) == DATA
            async with await stream_of(driver) as stream:
                assert await rest_of(stream) == DATA
            assert [exchange.connection for exchange in store.exchanges] == [0, 1]

    run(scenario)


def test_body_that_ends_early_is_an_error(run: Run) -> None:
    async def short(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(DATA[:-1])
        exchange.end()

    async def scenario() -> None:
        async with (
            Store(short) as store,
            opened(store) as driver,
            await stream_of(driver) as stream,
        ):
            with pytest.raises(UnavailableError, match="1 bytes early") as failure:
                await rest_of(stream)
            assert failure.value.temporary

    run(scenario)


def test_reset_is_an_error(run: Run) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(DATA[:MIB])
        exchange.reset()

    async def scenario() -> None:
        async with (
            Store(broken) as store,
            opened(store) as driver,
            await stream_of(driver) as stream,
        ):
            with pytest.raises(UnavailableError) as failure:
                await rest_of(stream)
            assert failure.value.temporary

    run(scenario)


@pytest.mark.parametrize("breaks", [Exchange.end, Exchange.reset])
def test_broken_body_goes_on_where_it_broke(breaks: Callable[[Exchange], None], run: Run) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(DATA[exchange.offset :][:MIB])
        breaks(exchange)

    async def scenario() -> None:
        async with Store(broken, broken, whole) as store:
            retrying = RetryMiddleware(made(store), RetryParameters(base_delay=1e-6))
            async with Storage(retrying) as storage, await storage.reader("/object") as reader:
                assert await reader.read() == DATA
            offsets = [exchange.offset for exchange in store.exchanges]
            if breaks is Exchange.end:
                assert offsets == [0, MIB, 2 * MIB]
            else:  # a reset may overtake bytes
                assert len(offsets) == 3

    run(scenario)


def test_nothing_for_too_long_is_an_error_and_little_is_not(run: Run) -> None:
    async def stalled(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(DATA[:1000])
        await exchange.closed.wait()

    async def scenario() -> None:
        async with (
            Store(stalled) as store,
            opened(store) as driver,
            await stream_of(driver) as stream,
        ):
            body: Any = stream._body
            await until(lambda: len(body._first) + waiting_at(stream) == 1000)
            # Not before: all else may take longer on a busy machine.
            body._protocol.read_timeout = 0.01
            came = b""
            with pytest.raises(OperationTimeoutError) as failure:
                while chunk := await stream.next_chunk():
                    came += chunk
            assert came == DATA[:1000]
            assert failure.value.temporary

    run(scenario)


def test_time_that_is_waited_is_the_configured_one(run: Run) -> None:
    async def scenario() -> None:
        async with (
            Store(whole) as store,
            opened(store, read_timeout=123) as driver,
            await stream_of(driver) as stream,
        ):
            body: Any = stream._body
            assert body._protocol.read_timeout == 123

    run(scenario)


def test_few_bytes_after_a_while_are_given_as_they_come(run: Run) -> None:
    wanted = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await exchange.head()
        await wanted.wait()
        await exchange.send(DATA[:1000])

    async def scenario() -> None:
        async with Store(late) as store, opened(store) as driver, await stream_of(driver) as stream:
            body: Any = stream._body
            reading = asyncio.ensure_future(stream.next_chunk())
            await until(lambda: body._waits_for not in (0, 1))
            await until(lambda: body._waits_for == 1)
            wanted.set()
            assert await reading == DATA[:1000]

    run(scenario)


def test_bytes_that_are_there_are_taken_without_a_wait_but_others_have_a_turn(run: Run) -> None:
    async def scenario() -> None:
        async with Store(half) as store, opened(store) as driver, await stream_of(driver) as stream:
            body: Any = stream._body
            await body.read(1)  # what has come with the head, if anything
            await body.read(1000)
            await until(lambda: waiting_at(stream) >= 1000)
            waits: list[object] = []
            body._is_readable = waits.append
            turns: list[None] = []
            asyncio.get_running_loop().call_soon(turns.append, None)
            assert len(await body.read(1000)) == 1000
            assert (waits, turns) == ([], [None])

    run(scenario)


def test_reader_that_is_cancelled_or_closed_leaves_no_connection(run: Run) -> None:
    async def scenario() -> None:
        async with Store(half, half) as store, opened(store) as driver:
            async with await stream_of(driver) as stream:
                reading = asyncio.ensure_future(rest_of(stream))
                await until(lambda: stream._left == len(DATA) - MIB)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            await store.exchanges[0].closed.wait()
            async with await stream_of(driver) as stream:
                await stream.next_chunk()
            await store.exchanges[1].closed.wait()

    run(scenario)


def test_driver_that_is_closed_ends_its_readers(run: Run) -> None:
    async def scenario() -> None:
        async with Store(half) as store:
            async with opened(store) as driver:
                stream = await stream_of(driver)
                await stream.next_chunk()
            async with stream:
                with pytest.raises(StorageDriverError):
                    await rest_of(stream)
            await store.exchanges[0].closed.wait()

    run(scenario)


def test_who_reads_slowly_is_not_read_ahead_of(run: Run) -> None:
    async def scenario() -> None:
        async with (
            Store(whole) as store,
            opened(store) as driver,
            await stream_of(driver) as stream,
        ):
            body: Any = stream._body
            while await stream.next_chunk() and stream._left:
                assert not body._transport.is_reading()
                assert not body._loop.remove_reader(body._socket)

    run(scenario)


def test_large_body_takes_the_memory_of_a_chunk(run: Run) -> None:
    size = 64 * MIB

    async def large(exchange: Exchange) -> None:
        await exchange.head(size=size)
        for _ in range(size // MIB):
            await exchange.send(bytes(MIB))

    async def scenario() -> None:
        async with Store(large) as store, opened(store) as driver:
            async with await stream_of(driver) as stream:
                tracemalloc.start()
                try:
                    while await stream.next_chunk():
                        pass
                    _, peak = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
            assert peak < 4 * MIB

    run(scenario)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_small_body_stays_with_the_sdk(size: int, run: Run) -> None:
    async def small(exchange: Exchange) -> None:
        await exchange.head(size=size)
        await exchange.send(DATA[:size])

    async def scenario() -> None:
        async with Store(small, small) as store, opened(store) as driver:
            for _ in range(2):
                async with await driver.open_reader("/object", ReadOptions()) as stream:
                    assert isinstance(stream, S3Stream)
                    assert not isinstance(stream._body, SocketBody)
                    assert await rest_of(stream) == DATA[:size]
            assert [exchange.connection for exchange in store.exchanges] == [0, 0]

    run(scenario)


def test_body_over_tls_stays_with_the_sdk(run: Run, tmp_path: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate(tmp_path))

    async def scenario() -> None:
        async with (
            Store(whole, tls=tls) as store,
            opened(store, skip_verify=True) as driver,
            await driver.open_reader("/object", ReadOptions()) as stream,
        ):
            assert isinstance(stream, S3Stream)
            assert not isinstance(stream._body, SocketBody)
            assert await rest_of(stream) == DATA

    run(scenario)


def test_body_in_chunks_that_says_no_length_is_an_error(run: Run) -> None:
    async def chunked(exchange: Exchange) -> None:
        await exchange.head("Transfer-Encoding: chunked")
        await exchange.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA))

    async def scenario() -> None:
        async with Store(*[chunked] * 4) as store, opened(store) as driver:
            # The first goes by the SDK.
            for _ in range(2):
                with pytest.raises(UnavailableError) as failure:
                    await driver.open_reader("/object", ReadOptions())
                assert failure.value.temporary
                with pytest.raises(UnavailableError):
                    await driver.get_content("/object")

    run(scenario)


def test_a_stream_asks_for_no_more_than_what_is_wished_for() -> None:
    class Body:
        async def read(self, amount: int) -> bytes:
            return bytes(amount)

    async def read() -> None:
        stream = S3Stream(FileInfo("/a", 3 * MIB), Body(), 3 * MIB)
        stream.chunk_size = 1000
        assert len(await stream.next_chunk()) == 1000
        stream.chunk_size = MIB
        assert len(await stream.next_chunk()) == MIB

    asyncio.run(read())
