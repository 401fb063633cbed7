"""V4 signed URLs, by Google's own library and gcsfs's credentials.

Source: cloud.google.com/storage/docs/access-control/signed-urls. Credentials without a key of their
own (the metadata server's) sign by a request to the IAM service, so all of it is done in a thread.
"""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

from storagedriver_core import (
    AuthenticationError,
    LimitExceededError,
    SignedMethod,
    UnavailableError,
)
from storagedriver_gcs._config import GcsConfig
from storagedriver_gcs._credentials import Credentials

MOST_SECONDS = 7 * 24 * 3600


class Signer:
    """Signs for one bucket.

    Args:
        config: Bucket and public endpoint.
        credentials: Who signs.
    """

    def __init__(self, config: GcsConfig, credentials: Credentials) -> None:
        self._config = config
        self._credentials = credentials
        self._bucket: Any = None

    async def url(
        self, name: str, method: SignedMethod, expires: timedelta, content_type: str | None
    ) -> str:
        """Give a URL for one object and method.

        Raises:
            LimitExceededError: The time is over seven days.
            AuthenticationError: These credentials cannot sign.
        """
        seconds = math.ceil(expires.total_seconds())
        if seconds > MOST_SECONDS:
            raise LimitExceededError(f"a URL is signed for at most {MOST_SECONDS} seconds")
        await self._credentials.header()  # the IAM service wants a token of now
        return await asyncio.to_thread(self._sign, name, method, seconds, content_type)

    def _sign(self, name: str, method: SignedMethod, seconds: int, content_type: str | None) -> str:
        import google.auth.credentials
        import google.auth.exceptions
        from google.cloud import storage

        raw = self._credentials.raw
        if self._bucket is None:
            client: Any = storage.Client(
                project=self._credentials.project or "none",
                credentials=raw,
                client_options={"api_endpoint": self._config.url},
            )
            self._bucket = client.bucket(self._config.bucket)
        by_service: dict[str, Any] = {}
        if not isinstance(raw, google.auth.credentials.Signing):
            by_service = {
                "service_account_email": getattr(raw, "service_account_email", None),
                "access_token": raw.token,
            }
            if not by_service["service_account_email"]:
                raise AuthenticationError("credentials of a user cannot sign URLs")
        try:
            return str(
                self._bucket.blob(name).generate_signed_url(
                    version="v4",
                    expiration=timedelta(seconds=seconds),
                    method=method,
                    content_type=content_type,
                    credentials=raw,
                    api_access_endpoint=self._config.public_url,
                    **by_service,
                )
            )
        except google.auth.exceptions.TransportError as exc:
            raise UnavailableError("the signing service did not sign") from exc
        except google.auth.exceptions.GoogleAuthError as exc:
            raise AuthenticationError(f"cannot sign ({type(exc).__name__})") from None
