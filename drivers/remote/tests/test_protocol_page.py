"""Each example of docs/remote-protocol.md is sent, and its answer is what the page says."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import aiohttp
from storagedriver_inmemory import InMemoryDriver, Store
from storagedriver_remote.server._calls import CARRYING, LISTING, PLAIN, READING
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service

from storagedriver_core import Storage

PAGE = (Path(__file__).parents[3] / "docs" / "remote-protocol.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"^```http\n(?P<method>GET|POST) /v1/(?P<call>\w+) HTTP/1.1\n(?P<rest>.*?)^```\n\n"
    r"^```(?:json|text)\n(?P<answer>.*?)^```\n",
    re.MULTILINE | re.DOTALL,
)
CONTENT = "application/x-storagedriver-content"


def examples() -> list[re.Match[str]]:
    return list(EXAMPLE.finditer(PAGE))


def request_body(rest: str) -> tuple[str, bytes]:
    """Give the content type and the body of an example."""
    if not rest.strip():
        return "", b""
    head, _, body = rest.partition("\n\n")
    content_type = head.removeprefix("Content-Type: ")
    text = body.removesuffix("\n").encode()
    if content_type == CONTENT:
        text += zlib.crc32(text).to_bytes(4, "big")
    return content_type, text


def frames(body: bytes) -> list[tuple[str, Any]]:
    found = []
    while body:
        kind, length = struct.unpack_from(">cI", body)
        payload, body = body[5 : 5 + length], body[5 + length :]
        found.append((kind.decode(), payload.decode() if kind == b"D" else json.loads(payload)))
    return found


def written_frames(text: str) -> list[tuple[str, Any]]:
    lines = [line.partition(" ") for line in text.splitlines()]
    return [(kind, rest if kind == "D" else json.loads(rest)) for kind, _, rest in lines]


def plain(value: Any) -> Any:
    """Give the same with what differs from run to run left out."""
    if isinstance(value, dict):
        return {key: _named(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+\+00:00", value):
        return "TIME"
    return value


def _named(key: str, value: Any) -> Any:
    if key in ("server", "capabilities"):
        return key
    return plain(value)


def numbering() -> Store:
    """Give a store whose etags are those of the page."""
    store = Store()
    store._etag_prefix = ""
    return store


def test_page_has_an_example_of_every_call() -> None:
    known = {*CARRYING, *LISTING, *PLAIN, *READING, "handshake"}
    assert {example["call"] for example in examples()} == known
    # None that is written otherwise, and so is never sent.
    assert len(examples()) == PAGE.count("```http\n")


def test_every_example_is_answered_as_the_page_says(tmp_path: Path) -> None:
    async def send_all() -> None:
        address = f"unix:{tmp_path}/socket"
        async with (
            listening(Service(Storage(InMemoryDriver(store=numbering()))), address),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{tmp_path}/socket")) as session,
        ):
            for example in examples():
                await send(session, example)

    asyncio.run(send_all())


async def send(session: aiohttp.ClientSession, example: re.Match[str]) -> None:
    content_type, body = request_body(example["rest"])
    headers = {"Content-Type": content_type, "X-Request-Id": "an-example"} if content_type else {}
    url = f"http://localhost/v1/{example['call']}"
    async with session.request(example["method"], url, data=body, headers=headers) as answer:
        said = await answer.read()
        if answer.content_type == "application/x-storagedriver-frames":
            assert plain(frames(said)) == plain(written_frames(example["answer"])), example[0]
            return
        expected = json.loads(example["answer"])
        assert plain(json.loads(said)) == plain(expected), example[0]
        assert (answer.status == 200) == ("result" in expected)
        assert answer.headers.get("X-Request-Id") == headers.get("X-Request-Id")


def test_line_that_starts_a_program_is_the_one_that_is_sent() -> None:
    (order,) = re.findall(r'^(\{"version": 1, "listen": .*\})$', PAGE, re.MULTILINE)
    assert set(json.loads(order)) == {"version", "listen", "parameters"}
    assert '\n{"ready": true}\n' in PAGE
