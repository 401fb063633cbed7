"""The calls that go without the SDK: what they send and give is what the SDK sends and gives."""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from botocore.auth import EMPTY_SHA256_HASH, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from multidict import CIMultiDict
from storagedriver_s3._body import Body
from storagedriver_s3._client import SDK_LOGGERS
from storagedriver_s3._config import MIN_PART_SIZE, S3Config
from storagedriver_s3._direct import DirectCalls, _content, _properties
from storagedriver_s3._driver import S3Driver
from storagedriver_s3._errors import translating
from storagedriver_s3._pages import _Parsed, page_of
from storagedriver_s3._route import Request, Route, Signer
from storagedriver_s3._session import OneAttemptSession
from yarl import URL

from storagedriver_core import PathNotFoundError, Storage, StorageDriverError, UnavailableError

ODD_NAMES = ["a b", "ü%41+&=?#", "a'()*!~", "x/y;z@:", '<&>"']
HOST = "https://bucket.s3.eu-west-1.amazonaws.com"


def directly(driver: S3Driver) -> DirectCalls:
    return driver._bucket.connection._calls


async def learn(storage: Storage) -> None:
    with pytest.raises(PathNotFoundError):
        await storage.get_content("/nothing")


@pytest.mark.parametrize("token", [None, "the/session+token"])
@pytest.mark.parametrize("key", ["a", "b/ü ?#%41'(x)", None])
@pytest.mark.parametrize(
    "origin", [HOST, "https://h:443", "http://h:80", "http://h:443", "http://[::1]:9000"]
)
def test_signature_is_the_sdks(origin: str, key: str | None, token: str | None) -> None:
    route = Route(f"{origin}/", f"{origin}/", "eu-west-1", "s3")
    headers = {
        "Content-Type": "text/plain",
        "x-amz-meta-two": "a  b",
        "If-Match": '"e"',
        "User-Agent": "u",
    }
    url = route.url(key, "partNumber=1&uploadId=a%2Fb" if key else "list-type=2&prefix=")
    credentials = Credentials("AKIA", "secret", token)
    signer = Signer(route)
    for _ in range(2):  # the second time with a key that is kept
        request = Request("PUT", url, dict(headers), b"", EMPTY_SHA256_HASH)
        signer.sign(request, credentials)
    expected = AWSRequest("PUT", url, headers, b"")
    expected.context["client_config"] = SimpleNamespace(s3={"payload_signing_enabled": True})
    AsOf(credentials, "s3", "eu-west-1", request.headers["X-Amz-Date"]).add_auth(expected)
    assert request.headers["Authorization"] == expected.headers["Authorization"]
    assert signer._host == URL(url, encoded=True).host_port_subcomponent  # what is sent


class AsOf(S3SigV4Auth):  # type: ignore[misc]  # untyped
    """The SDK's signer at a certain time."""

    def __init__(self, credentials: Any, service: str, region: str, timestamp: str) -> None:
        super().__init__(credentials, service, region)
        self._timestamp = timestamp

    def _modify_request_before_signing(self, request: Any) -> None:
        request.context["timestamp"] = self._timestamp
        super()._modify_request_before_signing(request)


def test_key_of_the_signature_goes_with_secret_and_day() -> None:
    signer = Signer(Route(f"{HOST}/", f"{HOST}/", "eu-west-1", "s3"))
    signed = set()
    for secret, day in (("one", "20261125"), ("two", "20261125"), ("two", "20261126")):
        theirs = S3SigV4Auth(Credentials("a", secret), "s3", "eu-west-1")
        request: Any = SimpleNamespace(context={"timestamp": f"{day}T000000Z"})
        expected = theirs.signature("text", request)
        for _ in range(2):
            key = signer._key_of(day, secret)
            assert hmac.digest(key, b"text", "sha256").hex() == expected
        signed.add(expected)
    assert len(signed) == 3


def sent(url: str, authorization: str | bytes | None, **headers: str) -> Any:
    if authorization is not None:
        headers["Authorization"] = authorization  # type: ignore[assignment]  # bytes at times
    return SimpleNamespace(url=url, headers=headers)


V4 = "AWS4-HMAC-SHA256 Credential=AK/IA/20261125/eu-west-1/s3/aws4_request, SignedHeaders=host"


def test_route_is_read_off_a_request() -> None:
    path = Route("http://host:1/b", "http://host:1/b/", "eu-west-1", "s3")
    assert Route.of(sent("http://host:1/b/a%20b/c?partNumber=1", V4), "a b/c") == path
    assert Route.of(sent("http://host:1/b?list-type=2", V4.encode()), None) == path
    assert path.url(None, "list-type=2") == "http://host:1/b?list-type=2"
    assert path.url("ü#", "") == "http://host:1/b/%C3%BC%23"
    virtual = Route(f"{HOST}/", f"{HOST}/", "eu-west-1", "s3")
    assert Route.of(sent(f"{HOST}/x", V4), "x") == virtual
    assert Route.of(sent(f"{HOST}/?list-type=2", V4), None) == virtual
    assert virtual.url(None, "") == f"{HOST}/"
    anonymous = Route.of(sent(f"{HOST}/x", None), "x")
    assert anonymous == Route(f"{HOST}/", f"{HOST}/")


def test_what_only_the_sdk_can_sign_has_no_route() -> None:
    several_regions = V4.replace("HMAC", "ECDSA-P256")
    assert Route.of(sent(f"{HOST}/x", several_regions), "x") is None
    assert Route.of(sent(f"{HOST}/x", V4, **{"x-amz-s3session-token": "t"}), "x") is None
    assert Route.of(sent(f"{HOST}/elsewhere", V4), "x") is None


def test_answers_are_the_sdks(seaweedfs_bucket: Mapping[str, object]) -> None:
    parameters = {**seaweedfs_bucket, "root_directory": "answers"}

    async def compare() -> None:
        driver = S3Driver(S3Config.model_validate(parameters))
        async with Storage(driver) as storage:
            await learn(storage)
            direct = directly(driver)
            assert direct._signer is not None
            for name in ODD_NAMES:
                await storage.put_content(
                    f"/{name}", name.encode(), content_type="text/plain", metadata={"key": "v v"}
                )
            for name in ODD_NAMES:
                for method in ("get_object", "head_object"):
                    asked = {"Key": f"answers/{name}"}
                    await _compare(direct, method, asked)
            await _compare(direct, "get_object", {"Key": "answers/a b", "Range": "bytes=1-1"})
            for method in ("get_object", "head_object"):
                asked = {"Key": "answers/a b", "IfNoneMatch": '"x"'}
                await _compare(direct, method, asked)
                await _compare(direct, method, {**asked, "IfMatch": '"x"'})
                await _compare(direct, method, {"Key": "answers/missing"})
            await _compare(direct, "get_object", {"Key": "answers/a b", "Range": "bytes=9-"})
            for limits in ({}, {"MaxKeys": 2}, {"Delimiter": "/"}, {"StartAfter": "answers/b"}):
                await _compare(direct, "list_objects_v2", {"Prefix": "answers/", **limits})
            await storage.delete("/", everything=True)

    asyncio.run(compare())


async def _compare(direct: DirectCalls, method: str, parameters: dict[str, Any]) -> None:
    answers = []
    for call in (direct.call, direct._by_sdk):
        try:
            answer = dict(await call(method, parameters))
        except ClientError as error:
            answer = {"error": error.response["Error"]["Code"]}
        if "Body" in answer:
            answer["Body"] = await answer["Body"].read()
        answers.append(answer)
    assert not answers[0].keys() - answers[1].keys() - {"Contents", "CommonPrefixes"}
    for name, value in answers[0].items():
        expected = answers[1].get(name, [])
        if name == "ResponseMetadata":
            assert value["HTTPStatusCode"] == expected["HTTPStatusCode"]
        elif name == "Contents":
            for mine, theirs in zip(value, expected, strict=True):
                assert mine.items() <= theirs.items()
        elif name == "CommonPrefixes":
            assert list(value) == expected
        elif name != "NextContinuationToken":
            assert value == expected, (method, name)


def test_sdk_sends_the_first_request_and_what_has_no_other_way(
    seaweedfs_bucket: Mapping[str, object],
) -> None:
    by_sdk: list[str] = []

    async def use() -> None:
        driver = S3Driver(S3Config.model_validate(seaweedfs_bucket))
        async with Storage(driver, part_size=MIN_PART_SIZE) as storage:
            driver._bucket.connection.client.meta.events.register(
                "before-call.s3", lambda model, **_: by_sdk.append(model.name)
            )
            await storage.put_content("/first", b"1")
            await storage.put_content("/second", b"2")
            assert await storage.get_content("/second") == b"2"
            async with await storage.writer("/large") as writer:
                await writer.write(bytes(MIN_PART_SIZE + 1))
                await writer.commit()
            assert (await storage.stat("/large")).size == MIN_PART_SIZE + 1
            assert [info async for info in storage.list("/")]
            for name in ("first", "second", "large"):
                await storage.delete(f"/{name}")

    asyncio.run(use())
    assert by_sdk == ["PutObject", "CreateMultipartUpload", "CompleteMultipartUpload"]


@pytest.mark.parametrize("has_proxies", [True, False])
def test_requests_take_the_sdks_way_where_there_are_proxies(
    has_proxies: bool, seaweedfs_bucket: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_sdk: list[str] = []
    send = AIOHTTPSession.send

    async def watched(session: AIOHTTPSession, request: Any) -> Any:
        by_sdk.append(request.method)
        return await send(session, request)

    async def use() -> None:
        driver = S3Driver(S3Config.model_validate(seaweedfs_bucket))
        async with Storage(driver) as storage:
            await learn(storage)
            if has_proxies:
                driver._bucket.connection._calls._session._proxied = ["http"]
            monkeypatch.setattr(AIOHTTPSession, "send", watched)
            await storage.put_content("/by/proxy", b"12")
            assert await storage.get_content("/by/proxy") == b"12"
            assert (await storage.stat("/by/proxy")).size == 2
            assert [info.path async for info in storage.list("/by")] == ["/by/proxy"]
            with pytest.raises(PathNotFoundError):
                await storage.stat("/nobody")
            monkeypatch.undo()
            await storage.delete("/by/proxy")

    asyncio.run(use())
    assert by_sdk == (["PUT", "GET", "HEAD", "GET", "HEAD", "GET"] if has_proxies else [])


@pytest.mark.parametrize(
    ("proxies", "proxied"),
    [
        (None, []),
        ({}, []),
        ({"no": "10.0.0.0/8"}, []),
        ({"http": "http://127.0.0.1:1", "no": "10.0.0.0/8"}, ["http"]),
        ({"https": "http://127.0.0.1:1"}, ["https"]),
    ],
)
def test_session_knows_which_requests_have_a_proxy(
    proxies: dict[str, str] | None, proxied: list[str]
) -> None:
    assert OneAttemptSession(timeout=1, proxies=proxies)._proxied == proxied


def test_log_shows_what_requests_carry_and_only_if_asked(
    seaweedfs_bucket: Mapping[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    async def look() -> None:
        async with Storage(S3Driver(S3Config.model_validate(seaweedfs_bucket))) as storage:
            await learn(storage)
            with pytest.raises(PathNotFoundError):
                await storage.stat("/nobody")
            assert not [record for record in caplog.records if record.name in SDK_LOGGERS]
            caplog.set_level(logging.DEBUG, OneAttemptSession.__module__)
            with pytest.raises(PathNotFoundError):
                await storage.stat("/nobody")

    with caplog.at_level(logging.DEBUG):
        asyncio.run(look())
    text = caplog.text
    assert "HEAD http://" in text and "Signature=" in text and "404 <CIMultiDictProxy" in text


def test_request_after_the_end_of_the_session_is_an_error_of_the_store() -> None:
    async def ask() -> None:
        session = OneAttemptSession(timeout=1)
        async with session:
            pass
        with translating(changes=True):
            await session.answer_to(Request("GET", "http://127.0.0.1:1/", {}, None, ""))

    with pytest.raises(UnavailableError):
        asyncio.run(ask())


def test_redirected_call_goes_by_the_sdk_and_shows_the_new_route(
    seaweedfs_bucket: Mapping[str, object],
) -> None:
    async def use() -> None:
        driver = S3Driver(S3Config.model_validate(seaweedfs_bucket))
        async with Storage(driver) as storage:
            await learn(storage)
            direct = directly(driver)
            assert direct._signer is not None
            route = direct._signer.route
            for error in (_malformed, _moved, _redirected):
                direct._send = error  # type: ignore[method-assign,assignment]  # elsewhere
                await storage.put_content("/redirected", b"x")
                del direct._send
                assert direct._signer.route == route
            await storage.delete("/redirected")

    asyncio.run(use())


async def _answer(status: int, code: str) -> Any:
    async def read() -> bytes:
        return f"<Error><Code>{code}</Code></Error>".encode()

    return SimpleNamespace(status=status, headers={}, read=read)


async def _malformed(*_: Any) -> Any:
    return await _answer(400, "AuthorizationHeaderMalformed")


async def _moved(*_: Any) -> Any:
    return await _answer(301, "PermanentRedirect")


async def _redirected(*_: Any) -> Any:
    return await _answer(308, "")


def test_large_body_is_hashed_beside_the_event_loop(
    seaweedfs_bucket: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[tuple[int, int]] = []
    original: Callable[[Body], str] = Body.sha256

    def watched(body: Body) -> str:
        hashed.append((threading.get_ident(), len(body)))
        return original(body)

    def nowhere(*_: Any) -> bytes:
        raise AssertionError("the body was read for signing")

    monkeypatch.setattr(Body, "sha256", watched)
    monkeypatch.setattr(Body, "read", nowhere)

    async def put() -> int:
        driver = S3Driver(S3Config.model_validate(seaweedfs_bucket))
        async with Storage(driver, part_size=MIN_PART_SIZE) as storage:
            await learn(storage)
            data = bytes(range(256)) * (MIN_PART_SIZE // 256)
            await storage.put_content("/hashed", data)
            async with await storage.writer("/parts") as writer:
                await writer.write(data)
                await writer.write(b"end")
                await writer.commit()
            assert await storage.get_content("/hashed") == data
            assert await storage.get_content("/parts") == data + b"end"
            await storage.delete("/hashed")
            await storage.delete("/parts")
            return threading.get_ident()

    loop_thread = asyncio.run(put())
    assert [size for _, size in hashed] == [MIN_PART_SIZE] * 2
    assert all(thread != loop_thread for thread, _ in hashed)


PAGE = """<?xml version="1.0"?><ListBucketResult{namespace}><EncodingType>url</EncodingType>
<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>
<Contents><Key>a%2Bb+c</Key><Size>1</Size><LastModified>2026-11-25T00:00:00Z</LastModified>
<ETag>&quot;e&quot;</ETag><Owner><ID>o</ID></Owner></Contents>
<CommonPrefixes><Prefix>%C3%BC/</Prefix></CommonPrefixes></ListBucketResult>"""


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
@pytest.mark.parametrize(
    ("is_glanced_at", "change"),
    [
        (True, lambda page: page),
        (True, lambda page: page.replace("next", "&#110;e&#x78;t")),
        (True, lambda page: page.replace("><", "> <")),
        (False, lambda page: page.replace("<Contents>", "<!-- <IsTruncated>no --><Contents>")),
        (False, lambda page: page.replace("next", "<![CDATA[next]]>")),
        (False, lambda page: page.replace("next", "ü")),
        (False, lambda page: page.replace("IsTruncated>t", "IsTruncated >t", 1)),
    ],
)
def test_page_is_known_by_its_end_and_parsed_later(
    namespace: str, is_glanced_at: bool, change: Callable[[str], str], monkeypatch: Any
) -> None:
    parsed: list[bytes] = []
    make = _Parsed.__init__

    def count(document: _Parsed, body: bytes) -> None:
        parsed.append(body)
        make(document, body)

    monkeypatch.setattr(_Parsed, "__init__", count)
    page = page_of(change(PAGE.format(namespace=namespace)).encode())
    assert page["IsTruncated"] is True
    assert page["NextContinuationToken"] in ("next", "ü")
    assert len(parsed) == (not is_glanced_at)
    (entry,) = page["Contents"]
    assert (entry["Key"], entry["Size"], entry["ETag"]) == ("a+b c", 1, '"e"')
    assert entry["LastModified"] == datetime(2026, 11, 25, tzinfo=UTC)
    assert list(page["CommonPrefixes"]) == [{"Prefix": "ü/"}]
    assert [len(page[name]) for name in ("Contents", "CommonPrefixes")] == [1, 1]
    assert (page["Contents"][-1], page["Contents"][:2]) == (entry, [entry])
    assert len(parsed) == 1


def test_last_page_says_so() -> None:
    last = PAGE.format(namespace="").replace("true", "false")
    assert page_of(last.encode())["IsTruncated"] is False


@pytest.mark.parametrize(
    "damage",
    [
        lambda page: page[:-5],
        lambda page: page[: len(page) // 2],
        lambda page: "",
        lambda page: "<html><body>welcome</body></html>",
        lambda page: page.replace("ListBucket", "Other"),
        lambda page: page.replace("<Size>1", "<Size>one"),
        lambda page: page.replace("<Size>1</Size>", ""),
        lambda page: page.replace("<IsTruncated>true</IsTruncated>", ""),
        lambda page: page.replace("NextContinuationToken", "Next"),
        lambda page: page.replace("LastModified>2026", "LastModified>x"),
        lambda page: page.replace("2026-11-25T00:00:00Z", "99999999999999999999"),
        lambda page: page.replace("<Key>a%2Bb+c</Key>", "<Key/>"),
        lambda page: page.replace("<LastModified>2026-11-25T00:00:00Z</LastModified>", ""),
        lambda page: page.replace("<Prefix>%C3%BC/</Prefix>", ""),
        # What looks as if it were the page's own.
        lambda page: page.replace(
            "<EncodingType>", "<Owner><IsTruncated>false</IsTruncated></Owner><EncodingType>"
        ),
    ],
)
def test_what_is_no_whole_page_is_an_error(damage: Callable[[str], str]) -> None:
    body = damage(PAGE.format(namespace="")).encode()
    assert body != PAGE.format(namespace="").encode()
    with pytest.raises(UnavailableError) as failure:  # now, or when it is looked at
        page = page_of(body)
        list(page["Contents"])
        list(page["CommonPrefixes"])
    assert "page of a listing" in failure.value.message


class Without:
    """An answer of aiohttp without one of its headers."""

    def __init__(self, response: Any, missing: str) -> None:
        self._response = response
        self.headers = response.headers.copy()
        self.headers.pop(missing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)


@pytest.mark.parametrize("name", ["ETag", "Content-Type", "x-amz-meta-a"])
@pytest.mark.parametrize("read", [_content, _properties])
def test_header_that_is_no_text_is_an_error(name: str, read: Any) -> None:
    async def nothing() -> bytes:
        return b""

    good = {"ETag": "e", "Last-Modified": "Wed, 25 Nov 2026 18:30:00 GMT", "Content-Length": "1"}
    closed: list[bool] = []
    answer = SimpleNamespace(
        status=200,
        headers=CIMultiDict({**good, name: "caf\udce9"}),
        read=nothing,
        close=lambda: closed.append(True),
    )
    with pytest.raises(ResponseParserError):
        asyncio.run(read(answer))
    assert bool(closed) == (read is _content)
    answer.headers = CIMultiDict({**good, name: "café"})
    assert "café" in str(asyncio.run(read(answer)))


@pytest.mark.parametrize("missing", ["etag", "last-modified", "content-length"])
def test_page_of_a_proxy_is_no_object(missing: str, seaweedfs_bucket: Mapping[str, object]) -> None:
    async def use() -> None:
        driver = S3Driver(S3Config.model_validate(seaweedfs_bucket))
        async with Storage(driver) as storage:
            await storage.put_content("/proxied", b"x")
            direct = directly(driver)
            original = direct._send

            async def send(*call: Any) -> Any:
                return Without(await original(*call), missing)

            direct._send = send  # type: ignore[method-assign,assignment]  # a proxy
            for call in (storage.get_content, storage.stat):
                with pytest.raises(StorageDriverError) as failure:
                    await call("/proxied")
                assert failure.value.temporary
            del direct._send
            await storage.delete("/proxied")

    asyncio.run(use())
