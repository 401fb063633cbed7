"""Fetching a signed URL as any program would, which knows nothing of the store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it. Nothing here repeats the URL: whoever has it can read the file.

    Attributes:
        place: Scheme, host and port of the URL.
        body: The first bytes.
        status: HTTP status; 0 if there was no answer.
        fault: What is wrong; empty if nothing.
    """

    place: str
    body: bytes = b""
    status: int = 0
    fault: str = ""


def fetch(url: str, length: int, seconds: float) -> Answer:
    """Get the first bytes of a URL, and block meanwhile.

    Args:
        url: The URL.
        length: Bytes to ask for.
        seconds: How long to wait for any step of it.
    """
    # Imported here: it takes longer to load than most commands run.
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.parse import urlsplit
    from urllib.request import Request, urlopen

    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    place = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    if parts.scheme not in ("http", "https"):
        return Answer(place, fault="no URL for an HTTP client")
    request = Request(url, headers={"range": f"bytes=0-{length - 1}"})
    try:
        with urlopen(request, timeout=seconds) as response:
            return Answer(place, response.read(length), response.status)
    except HTTPError as error:
        # Its body may repeat what was signed.
        with error:
            return Answer(place, status=error.code, fault=f"answers {error.code} {error.reason}")
    except URLError as error:
        return Answer(place, fault=_said(error.reason))
    except (OSError, HTTPException) as error:
        return Answer(place, fault=_said(error))


def _said(reason: object) -> str:
    if isinstance(reason, OSError):
        return reason.strerror or str(reason) or type(reason).__name__
    return type(reason).__name__ if isinstance(reason, Exception) else str(reason)
