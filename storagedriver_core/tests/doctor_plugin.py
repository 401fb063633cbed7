"""A middleware that does what a store in trouble does, for the tests of `storagedriver doctor`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from storagedriver_core import (
    Buffer,
    ByteStream,
    DriverMiddleware,
    FileInfo,
    MiddlewareSpec,
    PutOptions,
    ReadOptions,
    StorageDriver,
    UnavailableError,
    hookimpl,
)

T = TypeVar("T")

FAILED: list[str] = []
"""Operations that `fail_in` let fail, in order."""


class OddParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hang_in: str = ""
    fail_in: str = ""
    forget_conditions: bool = False
    spoil: bool = False
    seconds_ahead: int = 0


class Spoilt(ByteStream):
    def __init__(self, stream: ByteStream) -> None:
        self.info = stream.info
        self._stream = stream

    async def next_chunk(self) -> bytes:
        return (await self._stream.next_chunk()).swapcase()

    async def aclose(self) -> None:
        await self._stream.aclose()


class OddMiddleware(DriverMiddleware):
    def __init__(self, driver: StorageDriver, parameters: OddParameters) -> None:
        super().__init__(driver)
        self._odd = parameters

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation == self._odd.hang_in:
            await asyncio.Event().wait()
        if operation == self._odd.fail_in:
            FAILED.append(operation)
            raise UnavailableError("out of order")
        return await call()

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await super().open_reader(path, options)
        return Spoilt(stream) if self._odd.spoil else stream

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        if self._odd.forget_conditions:
            options = dataclasses.replace(options, if_absent=False)
        return await super().put_content(path, data, options)

    async def now(self) -> datetime:
        return await super().now() + timedelta(seconds=self._odd.seconds_ahead)


@hookimpl
def storagedriver_register_middlewares() -> list[MiddlewareSpec]:
    return [
        MiddlewareSpec(
            name="odd",
            summary="Does what a store in trouble does",
            factory="storagedriver_core.tests.doctor_plugin:OddMiddleware",
            parameters=OddParameters,
            rank=50,
        )
    ]
