"""Where requests for one bucket go and what they are signed for, and the signature itself.

The SDK finds the endpoint by a large table of rules: regions, addressing styles, dual stack, FIPS,
acceleration, access points, redirects to another region. That work is its own. What comes of it is
read off a request that it has sent.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import SIGNED_HEADERS_BLACKLIST, SIGV4_TIMESTAMP
from yarl import URL

# As the SDK quotes a key.
_KEY_SAFE = "/~"
_ALGORITHM = "AWS4-HMAC-SHA256 Credential="


@dataclass(slots=True)
class Request:
    """A request as the SDK's HTTP session takes it.

    Attributes:
        method: HTTP method.
        url: The whole URL, as it is sent.
        headers: Without those that HTTP itself needs.
        body: Its bytes.
        payload: What is signed of the body: its SHA-256, or that it is not signed.
        stream_output: The answer's body is left to be read.
        params: None: they are in the URL.
        context: Nothing.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    payload: str
    stream_output: bool = True
    params: None = None
    context: dict[str, Any] = field(default_factory=dict)


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


class Signer:
    """Signature Version 4 for one route; the SDK's signer takes more than twice as long.

    Attributes:
        route: What is signed for.
    """

    # Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header".

    def __init__(self, route: Route) -> None:
        self.route = route
        # As aiohttp sends it: without a port that goes without saying.
        self._host = URL(route.keys_url, encoded=True).host_port_subcomponent or ""
        parts = urlsplit(route.keys_url)
        self._origin_length = len(f"{parts.scheme}://{parts.netloc}")
        self._day = self._secret = ""
        self._key = b""

    def sign(self, request: Request, credentials: Any) -> None:
        """Put a signature into the headers.

        Args:
            request: The request, whose query has its names in order.
            credentials: Frozen ones.
        """
        timestamp = time.strftime(SIGV4_TIMESTAMP, time.gmtime())
        headers = request.headers
        headers["X-Amz-Date"] = timestamp
        headers["X-Amz-Content-SHA256"] = request.payload
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        signed, canonical = self._canonical(request)
        day = timestamp[:8]
        scope = f"{day}/{self.route.region}/{self.route.service}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
        signature = hmac.digest(self._key_of(day, credentials.secret_key), text.encode(), "sha256")
        headers["Authorization"] = (
            f"{_ALGORITHM}{credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature.hex()}"
        )

    def _canonical(self, request: Request) -> tuple[str, str]:
        """Give the names of the headers that are signed, and all that is signed."""
        values = {**request.headers, "Host": self._host}
        signed, names = _in_order(tuple(values))
        headers = "".join([f"{low}:{' '.join(values[name].split())}\n" for low, name in names])
        path, _, query = request.url[self._origin_length :].partition("?")
        lines = f"{request.method}\n{path}\n{query}\n{headers}\n{signed}\n{request.payload}"
        return signed, lines

    def _key_of(self, day: str, secret: str) -> bytes:
        """Give the key of a day, which is the same all day."""
        if day != self._day or secret != self._secret:
            key = f"AWS4{secret}".encode()
            for part in (day, self.route.region or "", self.route.service or "", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._secret, self._key = day, secret, key
        return self._key


# Requests of one kind have the same headers, but for those that carry a user's metadata.
@functools.lru_cache(maxsize=64)
def _in_order(names: Sequence[str]) -> tuple[str, Sequence[tuple[str, str]]]:
    """Give what the signature says of the headers that it is for, and each in small letters first.

    Args:
        names: Of all headers of a request.
    """
    lowered = {name.lower(): name for name in names}
    signed = sorted(lowered.keys() - SIGNED_HEADERS_BLACKLIST)
    return ";".join(signed), [(low, lowered[low]) for low in signed]
