"""What the suite cannot see: requests as they are sent, and answers that no test server gives."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
from calendar import month_abbr
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp as sdk_parse_timestamp
from storagedriver_s3._body import Body, body_of
from storagedriver_s3._client import SDK_LOGGERS
from storagedriver_s3._config import MIN_PART_SIZE, S3Config
from storagedriver_s3._driver import S3Driver
from storagedriver_s3._times import parse_timestamp
from storagedriver_s3._uploads import _is_made_of

from storagedriver_core import (
    Buffer,
    CompleteOptions,
    ConflictError,
    ListOptions,
    Part,
    PutOptions,
    Storage,
    UnavailableError,
    Upload,
    UploadNotFoundError,
    UploadOptions,
)


class Recorded:
    """What a driver sends, answered by a stub in the server's place.

    Attributes:
        calls: Operation and parameters of each request.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    def __getattr__(self, method: str) -> Any:
        async def call(**parameters: Any) -> Any:
            self.calls.append((method, parameters))
            answer = self._answers.get(method, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class StubConnection:
    def __init__(self, client: Recorded) -> None:
        self.client = client

    async def call(self, method: str, parameters: Mapping[str, Any]) -> Any:
        return await getattr(self.client, method)(**parameters)

    async def aclose(self) -> None:
        pass


def stubbed(answers: Mapping[str, Any], **parameters: object) -> tuple[S3Driver, Recorded]:
    """Give a driver that talks to a stub: for what no server here does."""
    driver = S3Driver(S3Config.model_validate({"bucket": "bucket", **parameters}))
    client = Recorded(answers)
    driver._bucket._connection = StubConnection(client)  # type: ignore[assignment]  # a stub
    return driver, client


def test_key_of_kms_is_sent_with_every_object_that_is_made() -> None:
    # A stub, since no server here has KMS. docker/distribution loses the key in an upload that it
    # makes again.
    driver, client = stubbed(
        {
            "create_multipart_upload": {"UploadId": "u"},
            "put_object": {"ETag": '"e"'},
            "head_object": {
                "ETag": '"e"',
                "LastModified": datetime.now(UTC),
                "ContentLength": 1,
                "Metadata": {},
            },
        },
        encrypt=True,
        keyid="the-key",
        storageclass="STANDARD_IA",
        objectacl="bucket-owner-full-control",
    )

    async def make() -> None:
        await driver.put_content("/a", b"x", PutOptions())
        upload = await driver.open_upload("/b", "h", UploadOptions())
        await driver.complete_upload(upload, (), CompleteOptions(path="/b", size=0))
        await driver.copy("/a", "/c")

    asyncio.run(make())
    made = [
        parameters
        for method, parameters in client.calls
        if method in ("put_object", "create_multipart_upload", "copy_object")
    ]
    assert len(made) == 4
    for parameters in made:
        assert parameters["ServerSideEncryption"] == "aws:kms"
        assert parameters["SSEKMSKeyId"] == "the-key"
        assert parameters["StorageClass"] == "STANDARD_IA"
        assert parameters["ACL"] == "bucket-owner-full-control"


def test_move_deletes_the_source_only_as_it_was_copied() -> None:
    head = {
        "ETag": '"e"',
        "LastModified": datetime.now(UTC),
        "ContentLength": 1,
        "Metadata": {},
    }
    driver, client = stubbed({"head_object": head})
    asyncio.run(driver.move("/a", "/b"))
    sent = dict(client.calls)
    assert sent["copy_object"]["CopySourceIfMatch"] == '"e"'
    assert sent["delete_object"]["IfMatch"] == '"e"'


def test_commit_that_answers_with_anothers_object_is_a_conflict() -> None:
    # Amazon says yes to every repetition of a completion, whatever parts it names.
    driver, _ = stubbed({"complete_multipart_upload": {"ETag": '"0123-1"'}})
    part = Part(1, 0, 1, '"9e107d9d372bb6826bd81d3542a419d6"')
    with pytest.raises(ConflictError) as conflict:
        asyncio.run(
            driver.complete_upload(Upload("/a", "u"), [part], CompleteOptions(path="/a", size=1))
        )
    assert conflict.value.outcome == "unknown"


def test_parts_whose_etags_are_no_digests_say_nothing_of_the_whole() -> None:
    digest = '"9e107d9d372bb6826bd81d3542a419d6"'
    assert _is_made_of('"b7a23a5c9f7d-2"', [Part(1, 0, 1, digest)]) is False
    assert _is_made_of('"x-1"', [Part(1, 0, 1, "of KMS")]) is None


def test_version_1_of_listing_goes_on_by_markers() -> None:
    def page(names: Sequence[str], *, more: bool) -> dict[str, Any]:
        now = datetime.now(UTC)
        entries = [{"Key": name, "Size": 1, "LastModified": now} for name in names]
        return {"IsTruncated": more, "Contents": entries}

    driver, client = stubbed({})
    object.__setattr__(driver._bucket, "config", _Version1(driver._bucket.config))
    answers = [page(["a", "b"], more=True), page(["c"], more=False)]
    client._answers = _Successive("list_objects", answers)

    async def walk() -> list[str]:
        return [
            info.path
            async for entries in driver.walk("/", ListOptions(start_after="/0"))
            for info in entries
        ]

    assert asyncio.run(walk()) == ["/a", "/b", "/c"]
    assert [parameters.get("Marker") for _, parameters in client.calls] == ["0", "b"]


class _Version1:
    def __init__(self, config: S3Config) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)

    @property
    def traits(self) -> Any:
        return dataclasses.replace(self._config.traits, list_version=1)


class _Successive(dict[str, Any]):
    def __init__(self, method: str, answers: list[Any]) -> None:
        super().__init__()
        self._method = method
        self._left = answers

    def get(self, method: str, default: Any = None) -> Any:
        assert method == self._method
        return self._left.pop(0)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25T18:30:00.123Z",
        "2026-11-25T18:30:00Z",
        "2026-11-25T18:30:00.000000+00:00",
        "Wed, 25 Nov 2026 18:30:00 GMT",
        *(f"Wed, 05 {month} 2026 23:59:08 GMT" for month in month_abbr[1:]),
        "Wed,  5 Nov 2026 18:30:00 GMT",
        "Wednesday, 25 Nov 26 18:30:00 GMT",
        "Wed, 25 Nov 2026 18:30:00 -0000",
        "20261125T183000Z",
        "1764095400",
        1764095400,
    ],
)
def test_times_are_read_as_the_sdk_reads_them(text: object) -> None:
    read = parse_timestamp(text)
    assert read == sdk_parse_timestamp(text)
    assert read.utcoffset() is not None


@pytest.mark.parametrize(
    "text",
    [
        "Wed, 25 Nev 2026 18:30:00 GMT",
        "Wed, 45 Nov 2026 18:30:00 GMT",
        "Wed, 25 Nov 2026 18:30:00 +99999999999999",
        "99999999999999999999",
        "inf",
        None,
    ],
)
def test_what_is_no_time_is_an_error(text: str | None) -> None:
    with pytest.raises(ResponseParserError, match=re.escape(str(text))):
        parse_timestamp(text)


def test_client_is_adapted_as_it_says(seaweedfs_bucket: Mapping[str, object]) -> None:
    sent: list[Any] = []

    async def use() -> None:
        driver = S3Driver(S3Config.model_validate({**seaweedfs_bucket, "useragent": "mine/1"}))
        async with Storage(driver) as storage:
            session = driver._bucket.connection.client._endpoint.http_session

            def watched(send: Any) -> Any:
                async def note(request: Any) -> Any:
                    sent.append(request)
                    return await send(request)

                return note

            session.send, session.answer_to = watched(session.send), watched(session.answer_to)
            await storage.put_content("/adapted", b"x" * (MIN_PART_SIZE))
            info = await storage.stat("/adapted")
            assert info.mod_time is not None
            await storage.delete("/adapted")
            (only,) = session._sessions.values()
            assert not only._retry_connection
            assert isinstance(only.cookie_jar, aiohttp.DummyCookieJar)

    asyncio.run(use())
    assert len(sent) == 4  # the first by the SDK, the others directly
    for request in sent:
        agent = request.headers["User-Agent"]
        agent = agent if isinstance(agent, str) else agent.decode()
        assert agent.startswith("storagedriver-s3/") and "mine/1" in agent.split()
        assert "Expect" not in request.headers
    for request in sent[1:]:
        assert request.headers["Accept-Encoding"] == "identity"
        assert "accept-encoding" not in request.headers["Authorization"]
    assert all(logging.getLogger(name).level != logging.NOTSET for name in SDK_LOGGERS)


def test_page_of_a_proxy_in_place_of_a_document_is_no_success(
    seaweedfs_bucket: Mapping[str, object],
) -> None:
    async def use() -> None:
        driver = S3Driver(S3Config.model_validate(seaweedfs_bucket))
        async with Storage(driver) as storage:
            events = driver._bucket.connection.client.meta.events

            def replace(response_dict: dict[str, Any], **_: object) -> None:
                response_dict["body"] = b"<html><body>welcome</body></html>"

            events.register_first("before-parse.s3", replace)
            for call in (storage.check(), storage.writer("/page"), storage.delete("/page")):
                with pytest.raises(UnavailableError):
                    await call

    asyncio.run(use())


def test_body_gives_its_bytes_however_it_is_read() -> None:
    buffers: list[Buffer] = [b"abc", bytearray(b""), memoryview(b"defgh" * 100_000), b"z"]
    whole = b"".join(bytes(each) for each in buffers)
    body = body_of(buffers)
    assert isinstance(body, Body) and len(body) == len(whole)
    assert body.read() == whole and body.read(10) == b""
    body.seek(2)
    assert body.read(5) == whole[2:7] and body.tell() == 7
    body.seek(0, 2)
    assert body.tell() == len(whole)

    async def pieces() -> list[bytes]:
        return [bytes(piece) async for piece in body]

    for _ in range(2):
        sent = asyncio.run(pieces())
        assert b"".join(sent) == whole
        assert max(map(len, sent)) <= 256 * 1024


def test_small_bodies_are_sent_as_they_are() -> None:
    data = b"small"
    assert body_of([data]) is data
    assert body_of([bytearray(b"sm"), memoryview(b"all")]) == data
    assert body_of([]) == b""


def test_upload_of_another_store_is_not_found(seaweedfs_bucket: Mapping[str, object]) -> None:
    async def use() -> None:
        driver = S3Driver(S3Config.model_validate(seaweedfs_bucket))
        async with Storage(driver):
            with pytest.raises(UploadNotFoundError) as missing:
                await driver.upload_state(Upload("/none", "0" * 40), 0)
            assert missing.value.outcome == "unknown"

    asyncio.run(use())
