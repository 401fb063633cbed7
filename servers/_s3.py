"""What S3 servers share: credentials, and enough of Signature Version 4 to see that they work."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from servers import _http
from servers._process import Server


class S3Server(Server):
    """A server with S3's interface.

    Attributes:
        access_key: Of the identity that may do everything.
        secret_key: Its secret.
        other_access_key: Of a second identity with the same rights.
        other_secret_key: Its secret.
        region: What requests are signed for.
    """

    access_key = "AKIATEST"
    secret_key = "secrettest"
    other_access_key = "AKIAOTHER"
    other_secret_key = "secretother"
    region = "us-east-1"

    def facts(self) -> Mapping[str, str]:
        """Give the address and both identities."""
        return {
            "url": self.url,
            "access key": self.access_key,
            "secret key": self.secret_key,
            "other access key": self.other_access_key,
            "other secret key": self.other_secret_key,
            "region": self.region,
        }

    def is_ready(self) -> bool:
        """Say whether it takes a bucket and an object, and gives the object back."""
        bucket = f"ready-{uuid.uuid4().hex}"
        steps = (
            ("PUT", bucket, b""),
            ("PUT", f"{bucket}/object", b"ready"),
            ("GET", f"{bucket}/object", b""),
            ("DELETE", f"{bucket}/object", b""),
            ("DELETE", bucket, b""),
        )
        answers = [self.request(method, path, body) for method, path, body in steps]
        return all(one.is_success for one in answers) and answers[2].body == b"ready"

    def create_bucket(self, name: str) -> None:
        """Make a bucket.

        Raises:
            OSError: It exists, or the server refuses.
        """
        self.request("PUT", name).check()

    def request(self, method: str, path: str, body: bytes = b"") -> _http.Answer:
        """Send one signed request.

        Args:
            method: As `PUT`.
            path: `bucket` or `bucket/key`, not quoted.
            body: All of it.

        Raises:
            OSError: There was no answer.
        """
        quoted = "/" + quote(path, safe="/-_.~")
        return _http.request(method, self.url + quoted, body, self._signed(method, quoted, body))

    def _signed(self, method: str, path: str, body: bytes) -> dict[str, str]:
        # Source: S3's "Authenticating Requests: Using the Authorization Header".
        now = datetime.now(UTC)
        time, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        signed = {
            "host": self.url.partition("://")[2],
            "x-amz-content-sha256": digest,
            "x-amz-date": time,
        }
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        canonical = hashlib.sha256(f"{method}\n{path}\n\n{lines}\n{names}\n{digest}".encode())
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical.hexdigest()}"
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"Credential={self.access_key}/{scope}"
        authorization = f"{credential},SignedHeaders={names},Signature={signature}"
        return signed | {"authorization": f"AWS4-HMAC-SHA256 {authorization}"}
