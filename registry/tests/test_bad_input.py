"""Malformed input in every place: the specified error, and everything is as it was before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from storagedriver_registry.api import router
from storagedriver_registry.api.router import route_name
from storagedriver_registry.digest import compute_digest
from storagedriver_registry.manifest import describe_referrer, parse_manifest, shape_type

from registry.tests.application import Application, run
from registry.tests.client import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    error_codes,
    sha256,
    sha512,
)
from registry.tests.described import check
from registry.tests.requirements import begin, chunk, dump, finish, image, index, push, subject

ZERO = f"sha256:{'0' * 64}"
MIB = 1024 * 1024
NAMES = [
    "A",
    "a//b",
    "_a",
    "a/_b",
    "a..b",
    "-a",
    "a-",
    "a___b",
    "a" * 256,
    "%00",
    "%C3%A9",
    "a%20b",
]
DIGESTS = [
    *("sha256:", "sha256:1", f"sha256:{'A' * 64}", f"sha256:{'0' * 65}", f"sha512:{'0' * 64}"),
    *(
        f"md5:{'0' * 32}",
        f"SHA256:{'0' * 64}",
        f"sha256:{'0' * 64}%0A",
        "%20sha256:",
        ":",
        "sha256:g",
    ),
]
TAGS = [".v1", "-v1", "v%201", "v+1", "t" * 129, "%C3%A9", "v1%0A"]
NUMBERS = ["-1", "x", "", "1.5", "9" * 5000, "0x1", "1%0A", "%D9%A1"]
RANGES = ["bytes=5-1", "bytes=99999-", "bytes=-0", "bytes=", "bytes=-", "bytes=a-b", "bytes=1"]
CONTENT_RANGES = ["x", "5-1", "-5", "0-", "0", "bytes=0-4", "0-4,5-9", "9" * 20 + "-" + "9" * 21]


class Bad(NamedTuple):
    """One request, and the answer that it has to have."""

    status: int
    code: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012  # of a tuple that nobody changes


def requests(session: str) -> list[Bad]:
    """Give every bad request; `session` is the URL of an upload with five bytes."""
    joined = session + ("&" if "?" in session else "?")
    named = [
        ("GET", "tags/list"),
        ("GET", "manifests/v1"),
        ("PUT", "manifests/v1"),
        ("DELETE", f"blobs/{ZERO}"),
        ("POST", "blobs/uploads/"),
        ("PATCH", "blobs/uploads/00000000-0000-4000-8000-000000000000"),
        ("GET", f"referrers/{ZERO}"),
    ]
    by_digest = [
        *(("GET", "blobs/{}"), ("HEAD", "blobs/{}"), ("DELETE", "blobs/{}")),
        *(("GET", "referrers/{}"), ("POST", "blobs/uploads/?digest={}")),
        ("POST", "blobs/uploads/?mount={}&from=a"),
    ]
    of_manifests = [("GET", "manifests/{}"), ("PUT", "manifests/{}"), ("DELETE", "manifests/{}")]
    lists = ["/v2/_catalog", "/v2/a/tags/list", f"/v2/a/referrers/{ZERO}"]
    return [
        *(Bad(400, "NAME_INVALID", m, f"/v2/{n}/{p}", b"x") for n in NAMES for m, p in named),
        *(
            Bad(400, "DIGEST_INVALID", method, f"/v2/a/{path.format(digest)}", b"x")
            for digest in DIGESTS
            for method, path in (*by_digest, *of_manifests)
        ),
        *(Bad(400, "DIGEST_INVALID", "PUT", f"{joined}digest={d}", b"x") for d in ["", *DIGESTS]),
        Bad(400, "DIGEST_INVALID", "PUT", session, b"x"),
        Bad(400, "DIGEST_INVALID", "POST", f"/v2/a/blobs/uploads/?digest={ZERO}", b"x"),
        Bad(400, "DIGEST_INVALID", "POST", "/v2/a/blobs/uploads/?digest-algorithm=md5"),
        *(Bad(400, "TAG_INVALID", "PUT", f"/v2/a/manifests/{tag}", image()) for tag in TAGS),
        *(Bad(404, "MANIFEST_UNKNOWN", "GET", f"/v2/a/manifests/{tag}") for tag in TAGS),
        *(Bad(404, "MANIFEST_UNKNOWN", "DELETE", f"/v2/a/manifests/{tag}") for tag in TAGS),
        *(
            Bad(400, "TAG_INVALID", "PUT", f"/v2/a/manifests/{reference}?tag={tag}", image())
            for reference in (sha256(image()), "v1")
            for tag in ("", *TAGS)
        ),
        *(
            Bad(400, "PAGINATION_NUMBER_INVALID", "GET", f"{path}?n={number}")
            for path in lists
            for number in NUMBERS
        ),
        *(
            Bad(416, "RANGE_INVALID", "GET", f"/v2/a/blobs/{sha256(b'{}')}", b"", {"range": value})
            for value in RANGES
        ),
        *(
            Bad(416, "RANGE_INVALID", method, path, b"01234", {"content-range": value})
            for value in (*CONTENT_RANGES, "0-4", "4-8", "6-10")
            for method, path in (("PATCH", session), ("PUT", f"{joined}digest={ZERO}"))
        ),
        *(
            Bad(400, "SIZE_INVALID", method, path, b"01234", {"content-range": value})
            for value in ("5-8", "5-10")
            for method, path in (("PATCH", session), ("PUT", f"{joined}digest={ZERO}"))
        ),
        *manifests(),
    ]


def manifests() -> list[Bad]:
    """Give every bad push of a manifest."""
    place = "/v2/a/manifests/v1"
    junk: list[object] = [None, 1, [], {}, [None], [{}], "x", {"size": 1}]
    bad = [
        *(b"", b"{", b"[]", b"1", b'""', b"null", b"{} {}", b"\xff", b"\xef\xbb\xbf{}", b"<a/>"),
        *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 01}', b'{"a": "\x01"}', b'{"a": "\\ud800"}'),
        *("{}".encode("utf-16"), b'{"a": ' + b"9" * 5000 + b"}", b"{" * MIB, b"[" * 4 * MIB),
        *(b'{"a":' + b"[" * depth + b"]" * depth + b"}" for depth in (300, 950, 968, 980)),
        *(dump({"schemaVersion": version}) for version in [*junk, 1, 2, 3]),
        *(image(config=value) for value in junk),
        *(image(layers=value) for value in junk[1:] if value != []),
        *(image(mediaType=value) for value in [*junk[1:4], "x", "a/b\r\nc: d", "a/\u00e9", "/"]),
        *(image(annotations=value) for value in [*junk[1:3], "x", {"a": 1}, {"a": None}]),
        *(image(subject=value) for value in junk[1:]),
        # That `null` is an empty list, and so are no layers, is in `test_manifests`.
        *(index(manifests=value) for value in junk[1:] if value != []),
        *(image(manifests=[]), index(layers=[])),
        image(layers=[{"mediaType": "a/b", "digest": "sha256:1", "size": 1}]),
        image(layers=[{"mediaType": "a/b", "digest": ZERO, "size": -1}]),
        image(layers=[{"mediaType": "a/b", "digest": ZERO, "size": 1.5}]),
    ]
    schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    types = [OCI_INDEX, DOCKER_MANIFEST, "a/b", "a", "/", schema_1, "a/b, c/d", "é/ü"]
    absent = {"mediaType": "a/b", "digest": ZERO, "size": 1}
    return [
        *(Bad(400, "MANIFEST_INVALID", "PUT", place, body) for body in bad),
        *(
            Bad(400, "MANIFEST_INVALID", "PUT", place, image(), {"content-type": each})
            for each in types
        ),
        Bad(400, "MANIFEST_BLOB_UNKNOWN", "PUT", place, image(layers=[absent])),
        Bad(400, "MANIFEST_BLOB_UNKNOWN", "PUT", place, image(config={"digest": ZERO})),
        Bad(400, "MANIFEST_BLOB_UNKNOWN", "PUT", place, index(ZERO)),
        Bad(400, "DIGEST_INVALID", "PUT", f"/v2/a/manifests/{ZERO}", image()),
        Bad(400, "DIGEST_INVALID", "PUT", f"/v2/a/manifests/{sha512(b'')}", image()),
        Bad(413, "SIZE_INVALID", "PUT", place, b" " * 4 * MIB + b"{}"),
        Bad(413, "SIZE_INVALID", "PUT", place, b"x" * 9 * MIB),
    ]


async def stored(one: Application) -> dict[str, bytes]:
    """Give everything that is stored."""
    paths = [entry.path async for entry in one.storage.walk("/")]
    return {path: await one.storage.get_content(path) for path in paths}


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), MIB):
        yield body[start : start + MIB]


@pytest.mark.parametrize("streamed", [False, True])
def test_bad_input_has_the_specified_error_and_changes_nothing(streamed: bool) -> None:
    async def ask(one: Application) -> None:
        await push(one, image())
        begun = await chunk(one, await begin(one), b"begun", "0-4")
        session = begun.headers["location"]
        before = await stored(one)
        for bad in requests(session):
            headers = {"content-type": "application/json", **bad.headers}
            encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
            if streamed and ("content-range" in headers or not bad.body):
                continue
            content = in_pieces(bad.body) if streamed else bad.body
            response = await one.http.request(
                bad.method, bad.path, headers=encoded, content=content
            )
            where = (bad.method, bad.path[:200], bad.body[:200], response.text)
            assert response.status_code == bad.status, where
            check(response)
            if bad.method != "HEAD":
                assert error_codes(response) == [bad.code], where
        assert await stored(one) == before
        status = await one.http.get(session)
        assert (status.status_code, status.headers["range"]) == (204, "0-4")
        done = await finish(one, session, sha256(b"begun, and ended"), b", and ended")
        assert done.status_code == 201
        assert (await one.http.get("/v2/a/manifests/v1")).content == image()

    run(ask)


def test_whatever_is_taken_can_be_sent_again() -> None:
    """However deeply it is nested: where there is less of the stack left, it is read as well."""

    async def ask(one: Application) -> None:
        deepest = 0
        for depth in range(1, 260):
            nested = b"[" * depth + b"]" * depth
            body = dump({"mediaType": "a/b", "subject": subject(ZERO)})[:-1] + b', "a":%b}' % nested
            pushed = await one.http.put(
                "/v2/a/manifests/v1", content=body, headers={"content-type": "a/b"}
            )
            if pushed.status_code != 201:
                break
            deepest = depth
            pulled = await one.http.get("/v2/a/manifests/v1")
            assert (pulled.status_code, pulled.content) == (200, body)
        assert 100 < deepest < 250
        listed = await one.http.get(f"/v2/a/referrers/{ZERO}")
        assert len(listed.json()["manifests"]) == deepest

    run(ask)


@pytest.mark.parametrize("data", [b"[" * 100_000, b"\xff", b"[]", b"", b"{"])
def test_what_another_registry_has_stored_is_no_failure_to_read(data: bytes) -> None:
    assert shape_type(data) == OCI_MANIFEST
    described = describe_referrer(compute_digest(data), data, OCI_MANIFEST)
    assert described == {"mediaType": OCI_MANIFEST, "digest": sha256(data), "size": len(data)}


def test_a_manifest_is_read_once_by_rules_that_every_client_has() -> None:
    """Of members with the same name the last counts, as in Go and in Python."""
    body = b'{"schemaVersion": 2, "mediaType": "a/b", "mediaType": "c/d"}'
    assert parse_manifest(body, "").media_type == "c/d"


def test_error_of_a_manifest_says_why() -> None:
    async def ask(one: Application) -> None:
        response = await one.http.put("/v2/a/manifests/v1", content=b"[" * 300)
        detail = response.json()["errors"][0]["detail"]
        assert detail == "it is not JSON, or nested too deeply"

    run(ask)


def test_paths_longer_than_any_resource_s_are_not_remembered() -> None:
    route_name("/v2/a/tags/list")
    before = router._remembered.cache_info().currsize
    for number in range(3):
        assert route_name(f"/v2/{'a' * 600}{number}/tags/list")
        assert route_name(f"/v2/{'a' * 255}/blobs/sha512:{number:0128x}")
    assert router._remembered.cache_info().currsize == before + 3
