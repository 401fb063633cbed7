"""What the head of a request says."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import unquote

import httptools

_VERSIONS = ("1.0", "1.1")


def fault_of(method: bytes, version: str, coding: bytes | None, hosts: int) -> HTTPStatus | None:
    """Tell why a request cannot be answered; None if it can.

    Args:
        method: Its method.
        version: Its version of HTTP.
        coding: Its `Transfer-Encoding`, in lower case; None if it has none.
        hosts: How often it says `Host`. Once should be, and proxies may take either of two.
    """
    if version not in _VERSIONS:
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    if method == b"CONNECT" or coding not in (None, b"chunked"):
        return HTTPStatus.NOT_IMPLEMENTED
    # RFC 9112, section 6.1: nobody knows where a body of HTTP/1.0 ends that is chunked.
    if hosts > 1 or (version == "1.0" and coding is not None):
        return HTTPStatus.BAD_REQUEST
    return None


def target_of(url: bytes) -> tuple[bytes, str, bytes] | None:
    """Give a target's path as it is, its path decoded, and its query. RFC 9112, section 3.2.

    Returns:
        None if it is no target.
    """
    if not url.startswith(b"/") or b"#" in url:
        if url == b"*":
            return url, "*", b""
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            return None
        raw_path, query = parsed.path or b"/", parsed.query or b""
    else:
        raw_path, _, query = url.partition(b"?")
    try:
        path = raw_path.decode("ascii")
    except UnicodeDecodeError:
        path = raw_path.decode("utf-8", "replace")
    return raw_path, unquote(path) if "%" in path else path, query


def ordinary_head(
    parser: httptools.HttpRequestParser, url: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Give the head that a parser has read, as that of a request that upgrades nothing."""
    version = parser.get_http_version().encode()
    lines = [b"%b %b HTTP/%b\r\n" % (parser.get_method(), url, version)]
    lines += (b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade")
    return b"".join((*lines, b"\r\n"))
