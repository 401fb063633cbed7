"""Credentials of gcsfs: found by the first request, refreshed off the event loop."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

from storagedriver_core import AuthenticationError, ConfigurationError, UnavailableError
from storagedriver_gcs._config import GcsConfig

# How long a header is used before the credentials are asked again.
_RECHECK_SECONDS = 10.0
_REFRESH_BEFORE_SECONDS = 300
_KNOWN_TO_GCSFS = (None, "service_account", "authorized_user")
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


def make_filesystem(config: GcsConfig) -> Any:
    """Make gcsfs's filesystem, for its session. Its credentials are not used."""
    # From the module: the class that the package exports probes the bucket over gRPC.
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(
        project=config.project or "",
        token="anon",
        endpoint_url=config.url,
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
    )


def read_key(config: GcsConfig) -> object:
    """Give what gcsfs takes as a token: the name of a source, or the content of a key. Blocks.

    Raises:
        ConfigurationError: The key file cannot be read.
    """
    if config.keyfile is not None:
        # Read here: where no file is, gcsfs takes a path for an access token.
        try:
            return _document("keyfile", Path(config.keyfile).read_bytes())
        except OSError as exc:
            raise ConfigurationError(f"keyfile cannot be read: {exc.strerror}") from exc
    if config.credentials is not None:
        return _document("credentials", config.credentials.get_secret_value())
    return config.identity


def _document(parameter: str, text: str | bytes) -> dict[str, object]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{parameter} is not a JSON object")
    return document


def _find(config: GcsConfig, key: object) -> Any:
    """Give gcsfs's credentials. Blocks: files, the metadata server, checks of a key.

    Raises:
        ConfigurationError: There are no such credentials.
        UnavailableError: Their server cannot be reached.
    """
    import google.auth
    import google.auth.exceptions
    from gcsfs.core import GoogleCredentials

    load: Any = google.auth.load_credentials_from_dict
    try:
        if isinstance(key, dict) and key.get("type") not in _KNOWN_TO_GCSFS:
            # Workload identity federation and the like.
            key = load(key, scopes=[_SCOPE])[0]
        return GoogleCredentials(config.project or "", "read_write", key)
    except google.auth.exceptions.TransportError as exc:
        raise UnavailableError("the credentials' server cannot be reached") from exc
    except (google.auth.exceptions.GoogleAuthError, ValueError, KeyError, TypeError) as exc:
        # The cause's text may repeat parts of a key.
        raise ConfigurationError(f"no usable credentials ({type(exc).__name__})") from None


class Credentials:
    """The header that proves who calls, from gcsfs's credentials, which the first request finds.

    Args:
        config: Project and kind of credentials.
        key: From `read_key`.
    """

    def __init__(self, config: GcsConfig, key: object) -> None:
        self._config = config
        self._key = key
        self._found: Any = None
        self._header: dict[str, str] = {}
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    @property
    def raw(self) -> Any:
        """The credentials of google.auth; None for anonymous, and before the first `header`."""
        return None if self._found is None else self._found.credentials

    @property
    def project(self) -> str:
        """The project that they belong to; may be empty."""
        return (self._found and self._found.project) or ""

    async def header(self) -> dict[str, str]:
        """Give the header, after a refresh where it is due.

        Raises:
            AuthenticationError: They are refused.
            UnavailableError: Their server cannot be reached.
        """
        if time.monotonic() < self._good_until:
            return self._header
        async with self._lock:
            if self._found is None:
                self._found = await asyncio.to_thread(_find, self._config, self._key)
            if self.raw is None:
                self._good_until = math.inf
                return self._header
            if not self._found._credentials_valid(_REFRESH_BEFORE_SECONDS):
                await _refresh(self._found.maybe_refresh)
            self._take()
        return self._header

    async def renew(self, stale: dict[str, str]) -> bool:
        """Get another header than `stale`, which the service refused; False if there is none."""
        if self.raw is None:
            return False
        async with self._lock:
            if self._header == stale:
                await _refresh(self._force)
                self._take()
        return self._header != stale

    def _force(self) -> None:
        import requests
        from google.auth.transport.requests import Request

        with requests.Session() as session:
            self.raw.refresh(Request(session))

    def _take(self) -> None:
        header: dict[str, str] = {}
        self.raw.apply(header)
        self._header = header
        self._good_until = time.monotonic() + _RECHECK_SECONDS


async def _refresh(refresh: Any) -> None:
    import google.auth.exceptions
    from gcsfs.retry import HttpError, NonRetryableError

    try:
        await asyncio.to_thread(refresh)
    except google.auth.exceptions.TransportError as exc:
        raise UnavailableError("the credentials' server cannot be reached") from exc
    except (google.auth.exceptions.GoogleAuthError, HttpError, NonRetryableError) as exc:
        # Without the cause, whose text may repeat what the token server answered.
        raise AuthenticationError(f"the credentials are refused ({type(exc).__name__})") from None
