"""Objects over plain HTTP: json_api/v1/objects and the pages named in `_objects_api`."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json

import google_crc32c
import pytest

from .conftest import Client

DATA = bytes(range(256)) * 10


def test_resource_has_the_documented_fields_and_types(gcs: Client) -> None:
    made = gcs.put("a/ü?#", DATA, {"Content-Type": "text/x"}).json()
    assert made == gcs.stat("a/ü?#").json()
    assert made["name"] == "a/ü?#" and made["bucket"] == gcs.bucket
    assert (made["size"], made["metageneration"], made["contentType"]) == ("2560", "1", "text/x")
    assert made["md5Hash"] == base64.b64encode(hashlib.md5(DATA).digest()).decode()
    crc = google_crc32c.value(DATA).to_bytes(4, "big")
    assert made["crc32c"] == base64.b64encode(crc).decode()
    assert isinstance(made["generation"], str) and made["updated"].endswith("Z")


def test_fields_select_a_part_of_the_answer(gcs: Client) -> None:
    gcs.put("a", DATA)
    assert gcs.stat("a", fields="size,name").json() == {"size": "2560", "name": "a"}
    listed = gcs.call("GET", gcs.objects, params={"fields": "items(name),nextPageToken"})
    assert listed.json() == {"items": [{"name": "a"}]}


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\rb", "x" * 1025])
def test_names_that_are_not_allowed_are_400(gcs: Client, name: str) -> None:
    assert gcs.put(name, b"").status_code == 400


def test_multipart_takes_metadata_and_media(gcs: Client) -> None:
    metadata = {"name": "m", "metadata": {"k": "v"}, "contentType": "text/y"}
    parts = [
        b"Content-Type: application/json\r\n\r\n" + json.dumps(metadata).encode(),
        b"Content-Type: text/z\r\n\r\n" + DATA + b"\r\n",
    ]
    body = b"".join(b"--xx\r\n" + part + b"\r\n" for part in parts) + b"--xx--"
    answer = gcs.call(
        "POST",
        f"/upload{gcs.objects}",
        params={"uploadType": "multipart"},
        content=body,
        headers={"Content-Type": "multipart/related; boundary=xx"},
    )
    assert answer.json()["metadata"] == {"k": "v"}
    assert answer.json()["contentType"] == "text/y"
    assert gcs.get("m").content == DATA + b"\r\n"


def test_upload_of_another_checksum_is_400_and_makes_nothing(gcs: Client) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert gcs.put("a", DATA, {"Content-MD5": wrong}).status_code == 400
    assert gcs.put("a", DATA, {"X-Goog-Hash": "crc32c=AAAAAA=="}).status_code == 400
    assert gcs.stat("a").status_code == 404


def test_generation_grows_with_each_replacement(gcs: Client) -> None:
    generations = [int(gcs.put("a", b"%d" % number).json()["generation"]) for number in range(5)]
    assert generations == sorted(set(generations))
    assert gcs.stat("a", generation=generations[0]).status_code == 404


def test_preconditions_of_writes_are_412(gcs: Client) -> None:
    assert gcs.put("a", b"1", ifGenerationMatch=0).status_code == 200
    now = gcs.stat("a").json()["generation"]
    for query in (
        {"ifGenerationMatch": 0},
        {"ifGenerationMatch": int(now) + 1},
        {"ifGenerationNotMatch": now},
        {"ifMetagenerationMatch": 2},
        {"ifMetagenerationNotMatch": 1},
        {"ifGenerationMatch": now, "ifMetagenerationMatch": 7},
    ):
        assert gcs.put("a", b"2", **query).status_code == 412, query
        assert gcs.call("DELETE", gcs.url("a"), params=query).status_code == 412, query
        patched = gcs.call("PATCH", gcs.url("a"), params=query, json={"contentType": "x"})
        assert patched.status_code == 412
    assert gcs.get("a").content == b"1"
    assert gcs.put("a", b"2", ifGenerationMatch=now, ifMetagenerationMatch=1).status_code == 200
    assert gcs.put("b", b"", ifGenerationMatch=5).status_code == 412
    assert gcs.put("b", b"", ifGenerationMatch="x").status_code == 400


def test_preconditions_of_reads_are_412_or_304(gcs: Client) -> None:
    now = gcs.put("a", b"1").json()["generation"]
    for call in (gcs.stat, gcs.get):
        assert call("a", ifGenerationMatch=now).status_code == 200
        assert call("a", ifGenerationMatch=1).status_code == 412
        assert call("a", ifGenerationNotMatch=now).status_code == 304
        assert call("a", ifMetagenerationNotMatch=1).status_code == 304
        assert call("missing", ifGenerationMatch=1).status_code == 404


def test_patch_raises_the_metageneration(gcs: Client) -> None:
    gcs.put("a", b"1")
    document = {"metadata": {"k": "v"}}
    patched = gcs.call("PATCH", gcs.url("a"), json=document).json()
    assert (patched["metageneration"], patched["metadata"]) == ("2", {"k": "v"})
    assert gcs.get("a").headers["X-Goog-Metageneration"] == "2"


def test_download_tells_generation_size_and_checksums(gcs: Client) -> None:
    made = gcs.put("a", DATA, {"Content-Type": "text/x"}).json()
    answer = gcs.get("a")
    assert answer.content == DATA
    assert answer.headers["X-Goog-Generation"] == made["generation"]
    assert answer.headers["X-Goog-Stored-Content-Length"] == "2560"
    assert f"crc32c={made['crc32c']}" in answer.headers["X-Goog-Hash"]
    assert answer.headers["Content-Type"] == "text/x"
    assert gcs.call("GET", f"/download{gcs.url('a')}").content == DATA


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-0", 206, DATA[:1]),
        ("bytes=5-9", 206, DATA[5:10]),
        ("bytes=2559-", 206, DATA[-1:]),
        ("bytes=2500-9999", 206, DATA[2500:]),
        ("bytes=-3", 206, DATA[-3:]),
        ("bytes=-9999", 206, DATA),
        ("bytes=2560-", 416, None),
        ("bytes=-0", 416, None),
        ("lines=1-2", 200, DATA),
    ],
)
def test_ranges(gcs: Client, asked: str, status: int, expected: bytes | None) -> None:
    gcs.put("a", DATA)
    answer = gcs.get("a", {"Range": asked})
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == expected
    if status == 206:
        assert answer.headers["Content-Range"].endswith("/2560")


def test_every_range_of_an_empty_object_is_416(gcs: Client) -> None:
    gcs.put("a", b"")
    assert gcs.get("a", {"Range": "bytes=0-"}).status_code == 416


def test_gzip_objects_are_decompressed_for_who_does_not_accept_gzip(gcs: Client) -> None:
    session = gcs.open_session("z", {"contentEncoding": "gzip"})
    packed = gzip.compress(DATA)
    assert gcs.send(session, f"bytes 0-{len(packed) - 1}/{len(packed)}", packed).status_code == 200
    plain = gcs.get("z", {"Accept-Encoding": "identity"})
    assert plain.content == DATA and "Content-Encoding" not in plain.headers
    with gcs.http.stream(
        "GET",
        gcs.url("z"),
        params={"alt": "media"},
        headers={**gcs.headers, "Accept-Encoding": "gzip"},
    ) as raw:
        assert b"".join(raw.iter_raw()) == packed


def test_missing_objects_and_buckets_are_told_apart_by_message(gcs: Client) -> None:
    answer = gcs.stat("x")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"No such object: {gcs.bucket}/x"
    assert answer.json()["error"]["errors"][0]["reason"] == "notFound"
    assert gcs.get("x").text == f"No such object: {gcs.bucket}/x"
    other = gcs.call("GET", "/storage/v1/b/missing/o/x").json()
    assert other["error"]["message"] == "The specified bucket does not exist."


def test_delete_is_204_and_then_404(gcs: Client) -> None:
    gcs.put("a", b"1")
    assert gcs.call("DELETE", gcs.url("a")).status_code == 204
    assert gcs.call("DELETE", gcs.url("a")).status_code == 404


def rewrite(gcs: Client, source: str, target: str, **query: object) -> dict[str, object]:
    url = f"{gcs.url(source)}/rewriteTo{gcs.url(target).removeprefix('/storage/v1')}"
    answer = gcs.call("POST", url, params=query)
    return {"status": answer.status_code, **answer.json()}


def test_rewrite_keeps_attributes_and_goes_in_steps(gcs: Client) -> None:
    session = gcs.open_session("a", {"metadata": {"k": "v"}, "contentType": "text/x"})
    data = bytes(3 * 1024 * 1024)
    assert gcs.send(session, f"bytes 0-{len(data) - 1}/{len(data)}", data).status_code == 200
    first = rewrite(gcs, "a", "b", maxBytesRewrittenPerCall=1024 * 1024)
    assert (first["done"], first["totalBytesRewritten"]) == (False, "1048576")
    assert "resource" not in first and gcs.stat("b").status_code == 404
    query = {"maxBytesRewrittenPerCall": 1024 * 1024}
    second = rewrite(gcs, "a", "b", rewriteToken=first["rewriteToken"], **query)
    assert rewrite(gcs, "a", "c", rewriteToken=second["rewriteToken"])["status"] == 400
    third = rewrite(gcs, "a", "b", maxBytesRewrittenPerCall=1536)
    assert third["status"] == 400
    gcs.server.control("rewrite_step", bytes=2 * 1024 * 1024)
    first = rewrite(gcs, "a", "b")
    last = rewrite(gcs, "a", "b", rewriteToken=first["rewriteToken"])
    assert last["done"] is True
    made = gcs.stat("b").json()
    assert (made["metadata"], made["contentType"]) == ({"k": "v"}, "text/x")


def test_preconditions_of_a_rewrite_are_of_target_and_source(gcs: Client) -> None:
    source = gcs.put("a", b"1").json()["generation"]
    target = gcs.put("b", b"2").json()["generation"]
    assert rewrite(gcs, "a", "b", ifGenerationMatch=0)["status"] == 412
    assert rewrite(gcs, "a", "b", ifSourceGenerationMatch=target)["status"] == 412
    done = rewrite(gcs, "a", "b", ifGenerationMatch=target, ifSourceGenerationMatch=source)
    assert done["status"] == 200
    assert gcs.get("b").content == b"1"
    assert rewrite(gcs, "missing", "b")["status"] == 404


def test_compose_joins_up_to_32_and_has_no_md5(gcs: Client) -> None:
    for number in range(3):
        gcs.put(f"p{number}", b"%d" % number)
    sources = [{"name": f"p{number}"} for number in range(3)]
    document = {"sourceObjects": sources, "destination": {"contentType": "text/x"}}
    made = gcs.call("POST", f"{gcs.url('c')}/compose", json=document).json()
    assert gcs.get("c").content == b"012"
    assert made["componentCount"] == 3 and "md5Hash" not in made
    many = {"sourceObjects": [{"name": "p0"}] * 33}
    assert gcs.call("POST", f"{gcs.url('c')}/compose", json=many).status_code == 400
    pinned = {"sourceObjects": [{"name": "p0", "objectPreconditions": {"ifGenerationMatch": "1"}}]}
    assert gcs.call("POST", f"{gcs.url('c')}/compose", json=pinned).status_code == 412


def test_copy_makes_a_second_object(gcs: Client) -> None:
    gcs.put("a", b"1", {"Content-Type": "text/x"})
    url = f"{gcs.url('a')}/copyTo{gcs.url('b').removeprefix('/storage/v1')}"
    assert gcs.call("POST", url).json()["contentType"] == "text/x"
    assert gcs.call("POST", url, params={"ifGenerationMatch": 0}).status_code == 412


def names_of(gcs: Client, **query: object) -> tuple[list[str], list[str], str | None]:
    page = gcs.call("GET", gcs.objects, params=query).json()
    items = [item["name"] for item in page.get("items", [])]
    return items, page.get("prefixes", []), page.get("nextPageToken")


def test_lists_are_in_order_of_utf8_and_paged(gcs: Client) -> None:
    names = ["a", "a-b", "a/1", "a/2", "a/b/3", "a0", "b", "ü", "\U0001f600"]
    for name in reversed(names):
        gcs.put(name, b"")
    assert names_of(gcs) == (names, [], None)
    assert names_of(gcs, delimiter="/") == (["a", "a-b", "a0", *names[6:]], ["a/"], None)
    assert names_of(gcs, prefix="a/", delimiter="/") == (["a/1", "a/2"], ["a/b/"], None)
    assert names_of(gcs, startOffset="a/2", endOffset="b") == (["a/2", "a/b/3", "a0"], [], None)
    for query in ({}, {"delimiter": "/"}, {"prefix": "a"}, {"prefix": "a/", "delimiter": "/"}):
        whole = names_of(gcs, **query)
        for size in range(1, 6):
            items: list[str] = []
            prefixes: list[str] = []
            token: str | None = ""
            while token is not None:
                page = {"maxResults": size, **({"pageToken": token} if token else {})}
                more, below, token = names_of(gcs, **query, **page)
                assert len(more) + len(below) <= size
                items, prefixes = items + more, prefixes + below
            assert (items, prefixes, None) == whole


def test_page_token_is_good_for_its_own_query(gcs: Client) -> None:
    gcs.put("a", b"")
    gcs.put("b", b"")
    token = names_of(gcs, maxResults=1)[2]
    other = {"pageToken": token, "prefix": "b"}
    assert gcs.call("GET", gcs.objects, params=other).status_code == 400
    assert gcs.call("GET", gcs.objects, params={"maxResults": 0}).status_code == 400
    assert gcs.call("GET", gcs.objects, params={"versions": "true"}).status_code == 501


def test_objects_that_end_with_the_delimiter(gcs: Client) -> None:
    gcs.put("d/", b"")
    gcs.put("d/x", b"")
    assert names_of(gcs, delimiter="/") == ([], ["d/"], None)
    query = {"delimiter": "/", "includeTrailingDelimiter": "true"}
    assert names_of(gcs, **query) == (["d/"], ["d/"], None)


def test_tokens_are_needed_and_expire(gcs: Client) -> None:
    gcs.put("a", b"1")
    anonymous = gcs.http.get(gcs.url("a"))
    assert anonymous.status_code == 401
    assert anonymous.json()["error"]["errors"][0]["reason"] == "required"
    wrong = gcs.call("GET", gcs.url("a"), headers={"Authorization": "Bearer nobody"})
    assert wrong.status_code == 401
    assert wrong.json()["error"]["message"] == "Invalid Credentials"
    gcs.server.control("clock", offset=3601)
    assert gcs.stat("a").status_code == 401
    gcs.server.control("clock", offset=0)
    gcs.server.control("expire_tokens")
    assert gcs.stat("a").status_code == 401


def test_assertion_by_an_unknown_key_gets_no_token(gcs: Client) -> None:
    from google.auth.exceptions import RefreshError

    from .conftest import access_token

    with pytest.raises(RefreshError):
        access_token(str(gcs.server.stranger_key_file))


def test_control_refuses_and_fails_as_told(gcs: Client) -> None:
    gcs.put("a", b"1")
    gcs.server.control("read_only", on=True)
    assert gcs.put("b", b"").status_code == 403
    assert gcs.get("a").content == b"1"
    gcs.server.control("reset")
    gcs.server.control("undeletable", names=["a"])
    assert gcs.call("DELETE", gcs.url("a")).status_code == 403
    order = {"status": 429, "reason": "rateLimitExceeded", "headers": {"Retry-After": "7"}}
    gcs.server.control("fail", pattern="^GET .*/o/a", **order)
    answer = gcs.stat("a")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert gcs.stat("a").status_code == 200
    gcs.server.control("hide", bucket=gcs.bucket, on=True)
    assert gcs.stat("a").json()["error"]["message"] == "The specified bucket does not exist."
