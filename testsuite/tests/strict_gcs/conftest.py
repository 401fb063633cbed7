"""A client of the fake by plain HTTP, with one bucket that is new for each test."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import google.oauth2.service_account
import httpx
import pytest
import requests
from google.auth.transport.requests import Request

from servers.strict_gcs import StrictGcs

_numbers = itertools.count(1)


class Client:
    """Plain HTTP against one bucket."""

    def __init__(self, server: StrictGcs, bucket: str) -> None:
        self.server = server
        self.bucket = bucket
        self.http = httpx.Client(base_url=server.url, timeout=30)
        self.headers = {"Authorization": f"Bearer {access_token(str(server.key_file))}"}
        self.objects = f"/storage/v1/b/{bucket}/o"

    def url(self, name: str) -> str:
        return f"{self.objects}/{quote(name, safe='')}"

    def call(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        return self.http.request(method, url, headers=headers, **options)

    def put(self, name: str, data: bytes, headers: Any = None, **query: Any) -> httpx.Response:
        return self.call(
            "POST",
            f"/upload{self.objects}",
            params={"uploadType": "media", "name": name, **query},
            content=data,
            headers=headers or {},
        )

    def get(self, name: str, headers: Any = None, **query: Any) -> httpx.Response:
        return self.call(
            "GET", self.url(name), params={"alt": "media", **query}, headers=headers or {}
        )

    def stat(self, name: str, **query: Any) -> httpx.Response:
        return self.call("GET", self.url(name), params=query)

    def open_session(self, name: str, document: Any = None, **query: Any) -> str:
        answer = self.call(
            "POST",
            f"/upload{self.objects}",
            params={"uploadType": "resumable", "name": name, **query},
            content=json.dumps(document).encode() if document else b"",
        )
        assert answer.status_code == 200, answer.text
        return str(answer.headers["Location"])

    def send(self, session: str, content_range: str, data: bytes = b"") -> httpx.Response:
        # Without a token: the session URI is the credential.
        return self.http.put(session, content=data, headers={"Content-Range": content_range})


def service_account(key_file: str) -> Any:
    """Give the credentials of a key file."""
    load: Any = google.oauth2.service_account.Credentials.from_service_account_file
    return load(key_file, scopes=["https://www.googleapis.com/auth/devstorage.read_write"])


def access_token(key_file: str) -> str:
    """Exchange an assertion for a token, by Google's own library."""
    credentials = service_account(key_file)
    with requests.Session() as session:
        credentials.refresh(Request(session))
    return str(credentials.token)


@pytest.fixture
def gcs(strict_gcs: StrictGcs) -> Iterator[Client]:
    bucket = f"rules-{next(_numbers)}"
    strict_gcs.create_bucket(bucket)
    client = Client(strict_gcs, bucket)
    yield client
    client.http.close()
    strict_gcs.control("reset")
