"""The error tree of the storage driver contract.

```text
StorageDriverError
├── PathNotFoundError        (FileNotFoundError)
├── InvalidPathError         (ValueError)
├── InvalidOffsetError       (ValueError)       carries offset and durable_offset
├── UnsupportedMethodError   (NotImplementedError)  carries the missing capability
├── AlreadyExistsError       (FileExistsError)
├── ConflictError                               a condition or another writer stands against it
├── UploadNotFoundError
├── LimitExceededError
├── NoSpaceError
├── PermissionDeniedError    (PermissionError)
├── AuthenticationError
├── ThrottledError                              temporary; carries retry_after
├── OperationTimeoutError    (TimeoutError)     temporary
├── UnavailableError         (ConnectionError)  temporary
├── ChecksumMismatchError
├── PartialDeleteError                          carries the error of each path that failed
├── ConfigurationError       (ValueError)
└── ClosedError
```

Callers act on the type and the attributes, never on the text. No message holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

Outcome = Literal["none", "applied", "unknown"]


class StorageDriverError(Exception):
    """Root of every error that a driver or the portable layer raises on purpose.

    Attributes:
        driver_name: Name of the driver, such as `filesystem`; empty until the portable layer
            stamps it.
        operation: Contract operation that failed, such as `put_content`.
        path: Path that the operation was asked for; empty where it has none.
        temporary: Whether the same call may succeed later without any change.
        outcome: `none`: nothing was changed. `applied`: the change was made. `unknown`: the
            change may have been made (a lost reply); it must be looked up, never blindly repeated.
    """

    temporary: bool = False
    default_message: ClassVar[str] = "storage driver error"

    def __init__(
        self,
        message: str = "",
        *,
        driver_name: str = "",
        operation: str = "",
        path: str = "",
        temporary: bool | None = None,
        outcome: Outcome = "none",
    ) -> None:
        super().__init__(message or self.default_message)
        self.message = message or self.default_message
        self.driver_name = driver_name
        self.operation = operation
        self.path = path
        self.outcome: Outcome = outcome
        if temporary is not None:
            self.temporary = temporary

    def __str__(self) -> str:
        where = " ".join(part for part in (self.driver_name, self.operation, self.path) if part)
        return f"{where}: {self.message}" if where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # OSError's own __reduce__ would drop the attributes of the leaves that inherit from it.
        return (_rebuild, (type(self), self.message, self.__dict__))

    def stamp(self, driver_name: str, operation: str, path: str) -> Self:
        """Fill in what the raiser did not know. Values that are already set stay."""
        self.driver_name = self.driver_name or driver_name
        self.operation = self.operation or operation
        self.path = self.path or path
        return self


def _rebuild(
    cls: type[StorageDriverError], message: str, state: dict[str, object]
) -> StorageDriverError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class PathNotFoundError(StorageDriverError, FileNotFoundError):
    """Nothing is stored at the path."""

    default_message = "not found"


class InvalidPathError(StorageDriverError, ValueError):
    """The path breaks the path rules or is longer than the driver allows."""

    default_message = "invalid path"


class InvalidOffsetError(StorageDriverError, ValueError):
    """The offset is negative, beyond the end, or not where the writer stands.

    Attributes:
        offset: The offset that was asked for, in bytes.
        durable_offset: For writers, the offset in bytes up to which everything is durable.
    """

    default_message = "invalid offset"

    def __init__(
        self,
        message: str = "",
        *,
        offset: int = 0,
        durable_offset: int | None = None,
        driver_name: str = "",
        operation: str = "",
        path: str = "",
    ) -> None:
        super().__init__(message, driver_name=driver_name, operation=operation, path=path)
        self.offset = offset
        self.durable_offset = durable_offset


class UnsupportedMethodError(StorageDriverError, NotImplementedError):
    """The driver does not declare the capability; raised before any request.

    Attributes:
        capability: Name of the `Capabilities` field that is missing.
    """

    default_message = "not supported by this driver"

    def __init__(
        self,
        message: str = "",
        *,
        capability: str = "",
        driver_name: str = "",
        operation: str = "",
        path: str = "",
    ) -> None:
        text = message or (f"capability {capability!r} is not declared" if capability else "")
        super().__init__(text, driver_name=driver_name, operation=operation, path=path)
        self.capability = capability


class AlreadyExistsError(StorageDriverError, FileExistsError):
    """A create-only write found something at the target."""

    default_message = "already exists"


class ConflictError(StorageDriverError):
    """A condition does not hold, or another writer or object stands against the operation."""

    default_message = "conflict"


class UploadNotFoundError(StorageDriverError):
    """The upload was cancelled, purged, has expired, or never existed."""

    default_message = "upload not found"


class LimitExceededError(StorageDriverError):
    """A declared limit (part count, object size, metadata size) would be passed."""

    default_message = "limit exceeded"


class NoSpaceError(StorageDriverError):
    """The store is full or a quota is used up."""

    default_message = "no space left"


class PermissionDeniedError(StorageDriverError, PermissionError):
    """The identity is known but may not do this."""

    default_message = "permission denied"


class AuthenticationError(StorageDriverError):
    """The credentials are missing, wrong or expired."""

    default_message = "authentication failed"


class ThrottledError(StorageDriverError):
    """The store asks to slow down.

    Attributes:
        retry_after: Seconds after which to try again; None where the store does not say.
    """

    temporary = True
    default_message = "throttled"

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        driver_name: str = "",
        operation: str = "",
        path: str = "",
        outcome: Outcome = "none",
    ) -> None:
        super().__init__(
            message, driver_name=driver_name, operation=operation, path=path, outcome=outcome
        )
        self.retry_after = retry_after


class OperationTimeoutError(StorageDriverError, TimeoutError):
    """The operation did not end in the time that it was given."""

    temporary = True
    default_message = "timed out"


class UnavailableError(StorageDriverError, ConnectionError):
    """The store cannot be reached or answers with a server error."""

    temporary = True
    default_message = "unavailable"


class ChecksumMismatchError(StorageDriverError):
    """Size or digest differ from what was expected; nothing was published."""

    default_message = "checksum mismatch"


class PartialDeleteError(StorageDriverError):
    """Some paths of a delete failed; repeating the delete finishes it.

    Attributes:
        failures: The error of each path that was not deleted.
    """

    default_message = "some paths were not deleted"

    def __init__(
        self,
        message: str = "",
        *,
        failures: Mapping[str, StorageDriverError] | None = None,
        driver_name: str = "",
        operation: str = "",
        path: str = "",
    ) -> None:
        super().__init__(message, driver_name=driver_name, operation=operation, path=path)
        self.failures = dict(failures or {})
        self.temporary = any(error.temporary for error in self.failures.values())


class ConfigurationError(StorageDriverError, ValueError):
    """The configuration is wrong, or names a store that does not exist.

    Attributes:
        key: Which of the driver's parameters is wrong, such as `("options", "port")`, for who knows
            where that was given; empty if it is none of them, or if the message says it.
    """

    default_message = "configuration error"

    def __init__(
        self,
        message: str = "",
        *,
        key: tuple[str | int, ...] = (),
        driver_name: str = "",
        operation: str = "",
        path: str = "",
    ) -> None:
        super().__init__(message, driver_name=driver_name, operation=operation, path=path)
        self.key = key


class ClosedError(StorageDriverError):
    """The storage, reader or writer is not open, or belongs to another event loop or process."""

    default_message = "closed"
