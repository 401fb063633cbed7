"""V4 signed URLs over plain HTTP, signed by Google's own library."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from google.cloud import storage

from .conftest import Client, service_account


def sign(gcs: Client, name: str, key_file: Any = None, **options: Any) -> str:
    credentials = service_account(str(key_file or gcs.server.key_file))
    blob = storage.Client("project", credentials).bucket(gcs.bucket).blob(name)
    options.setdefault("expiration", timedelta(minutes=5))
    return str(
        blob.generate_signed_url(
            version="v4",
            credentials=credentials,
            api_access_endpoint=gcs.server.url,
            **options,
        )
    )


@pytest.mark.parametrize("name", ["a", "a/b c", "ü/%46?&=+#", "~x"])
def test_signed_url_needs_no_token(gcs: Client, name: str) -> None:
    gcs.put(name, b"content")
    assert httpx.get(sign(gcs, name)).content == b"content"
    part = httpx.get(sign(gcs, name), headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"on")
    head = httpx.head(sign(gcs, name, method="HEAD"))
    assert (head.status_code, head.headers["Content-Length"]) == (200, "7")


def test_method_path_and_query_are_signed(gcs: Client) -> None:
    gcs.put("a", b"content")
    gcs.put("b", b"content")
    url = sign(gcs, "a")
    assert httpx.head(url).status_code == 403
    assert httpx.put(url, content=b"").status_code == 403
    assert httpx.get(url.replace("/a?", "/b?")).status_code == 403
    assert httpx.get(url.replace("Expires=300", "Expires=900")).status_code == 403
    assert httpx.get(url.partition("?")[0]).status_code == 401
    assert httpx.get(url[:-4] + "0000").status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in httpx.get(url[:-4] + "0000").text


def test_url_expires_by_the_servers_clock(gcs: Client) -> None:
    gcs.put("a", b"content")
    url = sign(gcs, "a")
    gcs.server.control("clock", offset=301)
    assert httpx.get(url).status_code == 400
    gcs.server.control("clock", offset=-14 * 60)
    assert httpx.get(url).status_code == 200
    gcs.server.control("clock", offset=-16 * 60)
    assert httpx.get(url).status_code == 403


def test_content_type_that_was_signed_is_enforced(gcs: Client) -> None:
    url = sign(gcs, "a", method="PUT", content_type="text/x")
    assert httpx.put(url, content=b"1").status_code == 403
    assert httpx.put(url, content=b"1", headers={"Content-Type": "text/y"}).status_code == 403
    assert httpx.put(url, content=b"1", headers={"Content-Type": "text/x"}).status_code == 200
    assert gcs.stat("a").json()["contentType"] == "text/x"


def test_google_headers_of_the_request_have_to_be_signed(gcs: Client) -> None:
    url = sign(gcs, "a", method="PUT")
    assert httpx.put(url, content=b"1", headers={"x-goog-meta-k": "v"}).status_code == 403
    url = sign(gcs, "a", method="PUT", headers={"x-goog-meta-k": "v"})
    assert httpx.put(url, content=b"1", headers={"x-goog-meta-k": "v"}).status_code == 200
    assert gcs.stat("a").json()["metadata"] == {"k": "v"}


def test_key_of_an_unknown_account_signs_nothing(gcs: Client) -> None:
    gcs.put("a", b"content")
    assert httpx.get(sign(gcs, "a", gcs.server.stranger_key_file)).status_code == 403
    assert httpx.get(sign(gcs, "a", gcs.server.rotated_key_file)).status_code == 200


def test_host_is_signed(gcs: Client) -> None:
    gcs.put("a", b"content")
    answer = httpx.get(sign(gcs, "a"), headers={"Host": "elsewhere.example"})
    assert answer.status_code == 403
