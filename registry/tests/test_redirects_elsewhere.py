"""Middlewares that send clients elsewhere, as docker/distribution configures them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from registry.tests.client import sha256
from registry.tests.serving import fails_to_serve, served
from servers.cloudfront import CloudFront
from servers.static_files import StaticFiles

DATA = b"0123456789" * 10_000
HEX = sha256(DATA).removeprefix("sha256:")
PLACE = f"/docker/registry/v2/blobs/sha256/{HEX[:2]}/{HEX}/data"


def middleware(*entries: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"storage": [{"name": name, "options": options} for name, options in entries]}


def pull(http: httpx.Client, **headers: str) -> tuple[str, httpx.Response]:
    """Push a blob and pull it as clients do; give where they were sent, and what came there."""
    pushed = http.post("/v2/a/blobs/uploads/", params={"digest": sha256(DATA)}, content=DATA)
    assert pushed.status_code == 201, pushed.text
    sent = http.get(f"/v2/a/blobs/{sha256(DATA)}", headers=headers)
    assert (sent.status_code, sent.content) == (307, b"")
    assert sent.headers["docker-content-digest"] == sha256(DATA)
    head = http.head(f"/v2/a/blobs/{sha256(DATA)}")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(DATA)))
    return sent.headers["location"], httpx.get(sent.headers["location"], headers=headers)


@contextmanager
def registry(tmp_path: Path, *entries: tuple[str, dict[str, Any]]) -> Iterator[httpx.Client]:
    with (
        served(tmp_path, middleware=middleware(*entries)) as server,
        httpx.Client(base_url=server.url) as http,
    ):
        yield http


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_blobs_come_from_the_server_that_redirect_names(tmp_path: Path, data: Path) -> None:
    with StaticFiles(tmp_path) as files:
        with registry(tmp_path, ("redirect", {"baseurl": f"{files.url}/data/"})) as http:
            location, came = pull(http)
            assert location == f"{files.url}/data{PLACE}"
            assert (came.status_code, came.content) == (200, DATA)
        assert files.asked == [("GET", f"/data{PLACE}")]


def test_blobs_come_from_cloudfront_which_checks_the_url(tmp_path: Path, data: Path) -> None:
    cloudfront = CloudFront(tmp_path)
    with StaticFiles(data, cloudfront.admits) as files:
        options = {
            "baseurl": files.url,
            "privatekey": str(cloudfront.key_file),
            "keypairid": cloudfront.key_pair_id,
            "duration": "3000s",
        }
        with registry(tmp_path, ("cloudfront", options)) as http:
            location, came = pull(http)
            assert location.startswith(f"{files.url}{PLACE}?Expires=")
            assert (came.status_code, came.content) == (200, DATA)
            assert httpx.get(location.partition("?")[0]).status_code == 403


def test_last_of_several_stands_outermost_as_in_distribution(tmp_path: Path, data: Path) -> None:
    with StaticFiles(data) as files:
        inner = ("redirect", {"baseurl": "https://inner.example/trimmed"})
        host = urlsplit(files.url).netloc
        outer = ("rewrite", {"scheme": "http", "host": host, "trimpathprefix": "/trimmed"})
        with registry(tmp_path, inner, outer) as http:
            location, came = pull(http)
            assert location == f"{files.url}{PLACE}"
            assert came.content == DATA


def test_client_whose_proxy_says_that_it_is_at_amazon_is_sent_to_the_store(
    tmp_path: Path, data: Path
) -> None:

    (data / "ranges.json").write_text(
        '{"prefixes": [{"ip_prefix": "10.1.0.0/16", "region": "us-east-1"}]}'
    )
    cloudfront = CloudFront(tmp_path)
    with StaticFiles(data) as files:
        options = {
            "baseurl": "https://cdn.example",
            "privatekey": str(cloudfront.key_file),
            "keypairid": cloudfront.key_pair_id,
            "ipfilteredby": "awsregion",
            "awsregion": "us-east-1",
            "iprangesurl": f"{files.url}/ranges.json",
        }
        inner = ("redirect", {"baseurl": files.url})
        with registry(tmp_path, inner, ("cloudfront", options)) as http:
            location, came = pull(http, **{"x-forwarded-for": "10.1.2.3, 10.0.0.1"})
            assert (location, came.content) == (f"{files.url}{PLACE}", DATA)
            sent = http.get(f"/v2/a/blobs/{sha256(DATA)}")
            assert sent.headers["location"].startswith(f"https://cdn.example{PLACE}?Expires=")


def test_key_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    options = {"baseurl": "https://a.example", "privatekey": "/missing.pem", "keypairid": "K"}
    log = fails_to_serve(tmp_path, middleware=middleware(("cloudfront", options)))
    assert "cloudfront: the private key /missing.pem" in log


def test_unknown_option_stops_the_start_and_is_named_with_its_line(tmp_path: Path) -> None:
    settings = middleware(("redirect", {"baseurl": "https://a.example", "basurl": "x"}))
    log = fails_to_serve(tmp_path, middleware=settings)
    assert "middleware.storage.0.options.basurl: unknown key 'basurl' (did you mean" in log
    assert "config.yml:" in log
