"""Where requests for one bucket go and what they are signed for, and the signature itself.

The SDK finds the endpoint by a large table of rules: regions, addressing styles, dual stack, FIPS,
acceleration, access points, redirects to another region. That work is its own. What comes of it is
read off a request that it has sent.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import SIGNED_HEADERS_BLACKLIST, S3SigV4Auth

# As the SDK quotes a key.
_KEY_SAFE = "/~"
_ALGORITHM = "AWS4-HMAC-SHA256 Credential="


@dataclass(slots=True)
class Request:
    """A request as the SDK's signer and its HTTP session take it.

    Attributes:
        method: HTTP method.
        url: The whole URL, as it is sent.
        headers: Without those that HTTP itself needs.
        body: Its bytes.
        payload: What is signed of the body: its SHA-256, or that it is not signed.
        stream_output: Whether the answer's body is left to be read.
        params: None: they are in the URL.
        context: What the signer keeps here.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    payload: str
    stream_output: bool
    params: None
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests go.

    Attributes:
        bucket_url: URL of the bucket as a resource of its own.
        keys_url: What comes before a key.
        region: What is signed for; None if nothing is signed.
        service: The same.
    """

    bucket_url: str
    keys_url: str
    region: str | None = None
    service: str | None = None

    @classmethod
    def of(cls, request: Any, key: str | None) -> Route | None:
        """Read the route off a request of the SDK; None for one that only the SDK can take.

        Args:
            request: As it was sent.
            key: The key that it was for; None if it was for the bucket.
        """
        url = str(request.url).partition("?")[0]
        if key is None:
            bucket_url, keys_url = url, url if url.endswith("/") else f"{url}/"
        else:
            keys_url = url.removesuffix(quote(key, safe=_KEY_SAFE))
            if keys_url == url:
                return None
            alone = urlsplit(keys_url).path == "/"
            bucket_url = keys_url if alone else keys_url.removesuffix("/")
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return cls(bucket_url, keys_url)
        if isinstance(authorization, bytes):
            authorization = authorization.decode()
        # Others are those of several regions, and of sessions that the SDK keeps.
        if not authorization.startswith(_ALGORITHM) or "x-amz-s3session-token" in request.headers:
            return None
        scope = authorization.partition(",")[0].split("/")
        return cls(bucket_url, keys_url, region=scope[-3], service=scope[-2])

    def url(self, key: str | None, query: str) -> str:
        """Give the URL of a key, or of the bucket."""
        url = self.bucket_url if key is None else self.keys_url + quote(key, safe=_KEY_SAFE)
        return f"{url}?{query}" if query else url


class Signer(S3SigV4Auth):  # type: ignore[misc]  # untyped
    """The SDK's signer, with what takes it longest kept or left out.

    Attributes:
        route: What is signed for.
    """

    def __init__(self, route: Route) -> None:
        super().__init__(None, route.service, route.region)
        self.route = route
        self._host = urlsplit(route.keys_url).netloc
        self._day = self._secret = ""
        self._key = b""

    def sign(self, request: Request, credentials: Any) -> None:
        """Put a signature into the headers.

        Args:
            request: The request.
            credentials: Frozen ones.
        """
        self.credentials = credentials
        self.add_auth(request)

    def payload(self, request: Any) -> str:
        """Give what is signed of the body."""
        return str(request.payload)

    def headers_to_sign(self, request: Any) -> _Headers:
        """Give the headers by their names in small letters."""
        lowered = ((name.lower(), value) for name, value in request.headers.items())
        headers = _Headers(pair for pair in lowered if pair[0] not in SIGNED_HEADERS_BLACKLIST)
        headers["host"] = self._host
        return headers

    def signature(self, string_to_sign: str, request: Any) -> str:
        """Sign; the key is the same all day."""
        day, secret = request.context["timestamp"][:8], self.credentials.secret_key
        if day != self._day or secret != self._secret:
            key = f"AWS4{secret}".encode()
            for part in (day, self._region_name, self._service_name, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._secret, self._key = day, secret, key
        return hmac.digest(self._key, string_to_sign.encode(), "sha256").hex()


class _Headers(dict[str, str]):
    """What the signer asks of its own, slower kind."""

    def get_all(self, name: str) -> tuple[str]:
        """Give the values of a header."""
        return (self[name],)
