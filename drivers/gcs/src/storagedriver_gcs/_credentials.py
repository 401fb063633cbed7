"""Credentials of gcsfs: found when the driver opens, refreshed off the event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from storagedriver_core import AuthenticationError, ConfigurationError, UnavailableError
from storagedriver_gcs._config import GcsConfig

# How long a header is used before the credentials are asked again.
_RECHECK_SECONDS = 10.0
_REFRESH_BEFORE_SECONDS = 300


def find_filesystem(config: GcsConfig) -> Any:
    """Make gcsfs's filesystem, which finds the credentials. Blocks: files, the metadata server.

    Raises:
        ConfigurationError: There are no such credentials.
    """
    # From the module: the class that the package exports probes the bucket over gRPC.
    import google.auth.exceptions
    from gcsfs.core import GCSFileSystem

    token: object = config.credentials_source
    if config.keyfile is not None:
        token = config.keyfile
    elif config.credentials is not None:
        token = {name: secret.get_secret_value() for name, secret in config.credentials.items()}
    try:
        return GCSFileSystem(
            project=config.project or "",
            access="read_write",
            token=_loaded(token),
            requester_pays=config.requester_pays,
            endpoint_url=config.url,
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
        )
    except google.auth.exceptions.TransportError as exc:
        raise UnavailableError("the credentials' server cannot be reached") from exc
    except (google.auth.exceptions.GoogleAuthError, ValueError, KeyError, TypeError) as exc:
        # The cause's text may repeat parts of a key.
        raise ConfigurationError(f"no usable credentials ({type(exc).__name__})") from None


def _loaded(token: object) -> object:
    """Read a key file here: gcsfs takes a path where no file is for an access token."""
    import json
    from pathlib import Path

    if token in ("google_default", "cloud", "anon") or not isinstance(token, str):
        return token
    try:
        document = json.loads(Path(token).read_text())
    except OSError as exc:
        raise ConfigurationError(f"keyfile cannot be read: {exc.strerror}") from exc
    except ValueError:
        raise ConfigurationError("keyfile is not JSON") from None
    if not isinstance(document, dict):
        raise ConfigurationError("keyfile is not a JSON object")
    if document.get("type") not in (None, "service_account", "authorized_user"):
        # Workload identity federation and the like, which google.auth knows by itself.
        import google.auth

        scope = "https://www.googleapis.com/auth/devstorage.read_write"
        load: Any = google.auth.load_credentials_from_dict
        return load(document, scopes=[scope])[0]
    return document


class Credentials:
    """The header that proves who calls, from gcsfs's credentials.

    Args:
        found: `GoogleCredentials` of gcsfs.
    """

    def __init__(self, found: Any) -> None:
        self._found = found
        self._header: dict[str, str] = {}
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    @property
    def raw(self) -> Any:
        """The credentials of google.auth; None for anonymous."""
        return self._found.credentials

    @property
    def project(self) -> str:
        """The project that they belong to; may be empty."""
        return self._found.project or ""

    async def header(self) -> dict[str, str]:
        """Give the header, after a refresh where it is due.

        Raises:
            AuthenticationError: They are refused.
            UnavailableError: Their server cannot be reached.
        """
        if time.monotonic() < self._good_until:
            return self._header
        if self.raw is not None:
            async with self._lock:
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
