"""The way to the other side: how a driver gets there, asks, and understands what is said."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from storagedriver_core import Buffer, Outcome, UnavailableError
from storagedriver_remote import _wire
from storagedriver_remote._child import Child
from storagedriver_remote._client import Client, Stream
from storagedriver_remote._config import RemoteConfig

T = TypeVar("T")


class Link:
    """The connections to the other side, and the program there if it was started from here.

    Args:
        config: Where the other side is.

    Attributes:
        where: Where it is, for people.
    """

    def __init__(self, config: RemoteConfig) -> None:
        self.where = config.connect or f"program {config.program}"
        self._config = config
        self._child: Child | None = None
        self._client: Client | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._client is not None

    async def open(self) -> Any:
        """Start the program if there is one, and give what the other side says of itself."""
        config = self._config
        token = config.token.get_secret_value() if config.token else ""
        address = config.connect
        try:
            if config.program is not None:
                self._child = Child(config.program, config.revealed(), config.start_seconds)
                address = await self._child.start()
            assert address is not None, "the configuration has one of both"
            self._client = Client(address, token)
            await self._client.open()
            return await self._client.handshake()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connections, and end the program that was started from here."""
        client, self._client = self._client, None
        child, self._child = self._child, None
        try:
            if client is not None:
                await client.aclose()
        finally:
            if child is not None:
                await child.aclose()

    async def ask(self, call: str, **arguments: Any) -> Any:
        """Make a call that changes nothing. What is None is left out."""
        client = await self._ready()
        return await client.call(call, _given(arguments), changes=False)

    async def ask_text(self, call: str, **arguments: Any) -> str:
        """Make a call that changes nothing and gives a string."""
        said = await self.ask(call, **arguments)
        with understood():
            return _wire.text(said)

    async def renew(self) -> None:
        """Say that this process lives."""
        client = await self._ready()
        await client.renew()

    async def tell(
        self, call: str, data: Sequence[Buffer] | None = None, /, **arguments: Any
    ) -> Any:
        """Make a call that may change something, with the bytes that it carries."""
        client = await self._ready()
        return await client.call(call, _given(arguments), data)

    async def stream(self, call: str, **arguments: Any) -> Stream:
        """Make a call whose answer comes in pieces."""
        client = await self._ready()
        return await client.stream(call, _given(arguments))

    async def pages(
        self, call: str, read: Callable[[Any], T], **arguments: Any
    ) -> AsyncGenerator[Sequence[T], None]:
        """Give what is listed, page by page."""
        stream = await self.stream(call, **arguments)
        try:
            while (page := await stream.frames.page()) is not None:
                with understood():
                    entries = [read(entry) for entry in page]
                yield entries
        finally:
            await stream.aclose()

    async def _ready(self) -> Client:
        if self._child is not None:
            await self._child.ready()
        if self._client is None:
            raise UnavailableError("not connected")
        return self._client


@contextmanager
def understood(outcome: Outcome = "none") -> Iterator[None]:
    """Enclose the reading of what was said; what is not as the protocol says is no answer."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UnavailableError("the answer is not the protocol's", outcome=outcome) from error


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
