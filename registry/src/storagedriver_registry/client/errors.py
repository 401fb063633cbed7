"""The errors of the client.

```text
RegistryError
├── ResponseError                    an error of the registry's: status, code, detail
│   ├── NotFoundError                404
│   ├── UnauthorizedError            401: it wants credentials, or others
│   ├── DeniedError                  403
│   ├── UnsupportedError             405, 501, or the code UNSUPPORTED
│   ├── RangeInvalidError            416
│   ├── TooManyRequestsError         429  temporary; retry_after
│   └── ServerError                  5xx  temporary; retry_after
├── ConnectionFailedError            (ConnectionError)  temporary
│   ├── StalledError                 nothing comes, or nothing is taken; seconds
│   └── CertificateError             not temporary
├── InvalidAnswerError               the answer is not what the specification says
│   └── RedirectRefusedError         it leads to where it is not safe to go
├── DigestMismatchError              the content is not what its digest says
├── BusyError                        another process is at work on it  temporary
├── CredentialsError                 they cannot be found, or not be used
├── BlockedError                     the configuration forbids to ask for it
├── RegistriesConfigError            the configuration of mirrors makes no sense
└── InvalidReferenceError            (ValueError)
```

Callers act on the type and the attributes, never on the text. No message and no `repr` holds a
secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class RegistryError(Exception):
    """Root of every error that the client raises on purpose.

    Attributes:
        message: What is wrong.
        host: The registry, as it was named; empty where none was asked.
        temporary: Whether the same call may succeed later without any change.
        is_exhausted: Whether it has been tried as often as it may be, so that what needed it does
            not begin again by itself.
        tried: What came of the mirrors that were asked before, in order; the text has it too.
    """

    temporary: bool = False
    is_exhausted: bool = False
    tried: tuple[RegistryError, ...] = ()

    # Everything but the message has a default, so that pickle can make them again.
    def __init__(self, message: str = "", *, host: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.host = host

    def __str__(self) -> str:
        text = f"{self.host}: {self.message}" if self.host else self.message
        if self.tried:
            text += f" (tried before: {'; '.join(map(str, self.tried))})"
        return text


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One error of an answer. Source: distribution-spec, "Error Codes".

    Attributes:
        code: Such as `BLOB_UNKNOWN`.
        message: For people; may be empty.
        detail: Whatever the registry adds; None if nothing.
    """

    code: str
    message: str = ""
    detail: Any = None


class ResponseError(RegistryError):
    """The registry answered with an error.

    Attributes:
        status: The status of the answer.
        method: The method of the request.
        path: The path of the request, without its query.
        errors: The entries of the answer, in its order; empty if it had no such body.
        retry_after: Seconds that the registry wants the client to wait; None if it does not say.
        login: Of a 401 or 403, the host that asked for credentials when there were none for it;
            empty otherwise.
    """

    login: str = ""

    def __init__(
        self,
        message: str = "",
        *,
        host: str = "",
        status: int = 0,
        method: str = "",
        path: str = "",
        errors: Sequence[ErrorEntry] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, host=host)
        self.status = status
        self.method = method
        self.path = path
        self.errors = tuple(errors)
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """The code of the first entry; empty if there is none."""
        return self.errors[0].code if self.errors else ""

    @property
    def detail(self) -> Any:
        """The detail of the first entry; None if there is none."""
        return self.errors[0].detail if self.errors else None


class NotFoundError(ResponseError):
    """The registry does not have it."""


class UnauthorizedError(ResponseError):
    """The registry wants credentials, or others than those given."""


class DeniedError(ResponseError):
    """The credentials do not allow it."""


class UnsupportedError(ResponseError):
    """The registry cannot do it, or is configured not to."""


class RangeInvalidError(ResponseError):
    """The range is not in the blob, or the chunk is not the next one."""


class TooManyRequestsError(ResponseError):
    """The registry wants fewer requests."""

    temporary = True


class ServerError(ResponseError):
    """The registry has failed, or cannot serve now."""

    temporary = True


class ConnectionFailedError(RegistryError, ConnectionError):
    """The registry cannot be reached, or the connection broke or stalled."""

    temporary = True


class StalledError(ConnectionFailedError):
    """The connection is there, but for too long nothing comes, or nothing is taken.

    Attributes:
        seconds: How long.
    """

    def __init__(self, message: str = "", *, host: str = "", seconds: float = 0.0) -> None:
        super().__init__(message, host=host)
        self.seconds = seconds


class CertificateError(ConnectionFailedError):
    """The registry's certificate is not trusted, or it does not accept the client's."""

    temporary = False


class InvalidAnswerError(RegistryError):
    """The answer is not what the specification says."""


class RedirectRefusedError(InvalidAnswerError):
    """The registry redirects to where it is not safe to go, or in a circle."""


class DigestMismatchError(RegistryError):
    """The content is not what its digest says: it must not be used.

    Attributes:
        expected: The digest, or what was said to be its size in bytes.
        actual: What came instead.
        may_be_elsewhere: Whether a mirror gave it, which is not asked for it again, so that the
            same call asks somebody else.
    """

    may_be_elsewhere: bool = False

    def __init__(
        self, message: str = "", *, host: str = "", expected: str = "", actual: str = ""
    ) -> None:
        super().__init__(message, host=host)
        self.expected = expected
        self.actual = actual


class BusyError(RegistryError):
    """Another process is at work on the same file."""

    temporary = True


class CredentialsError(RegistryError):
    """Credentials cannot be read, fetched or stored, or it is not safe to send them."""


class BlockedError(RegistryError):
    """The configuration forbids to ask this registry, or for this repository."""


class RegistriesConfigError(RegistryError):
    """The configuration of mirrors cannot be read, or makes no sense."""


class InvalidReferenceError(RegistryError, ValueError):
    """The text names no image."""


_BY_STATUS: dict[int, type[ResponseError]] = {
    401: UnauthorizedError,
    403: DeniedError,
    404: NotFoundError,
    405: UnsupportedError,
    416: RangeInvalidError,
    429: TooManyRequestsError,
    501: UnsupportedError,
}


def error_class(status: int, code: str) -> type[ResponseError]:
    """Give the class of an answer's error."""
    if code == "UNSUPPORTED":
        return UnsupportedError
    found = _BY_STATUS.get(status)
    if found is not None:
        return found
    return ServerError if status >= 500 else ResponseError
