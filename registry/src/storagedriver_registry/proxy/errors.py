"""What can be wrong with the upstream registry.

```text
UpstreamError
├── UpstreamUnknownError     it does not have it
├── UpstreamDeniedError      it refuses this proxy
├── UpstreamBusyError        it wants fewer requests
├── UpstreamDownError        it cannot be reached, has failed, or stalls
│   └── UpstreamSlowError    it has not answered in time
└── UpstreamBrokenError      what it sends is not what was asked for
```
"""

from __future__ import annotations

from storagedriver_registry.storage.errors import RegistryError


class UpstreamError(RegistryError):
    """The upstream registry does not give what was asked for."""


class UpstreamUnknownError(UpstreamError):
    """The upstream registry does not have it.

    Attributes:
        is_said: Whether a registry says so, of a manifest or a repository: the status alone may be
            that of whatever else is at that address. An answer to `HEAD` cannot say it.
    """

    def __init__(self, message: str = "", *, is_said: bool = False) -> None:
        super().__init__(message)
        self.is_said = is_said


class UpstreamDeniedError(UpstreamError):
    """The upstream registry refuses this proxy, with its credentials or without any."""


class UpstreamBusyError(UpstreamError):
    """The upstream registry wants fewer requests.

    Attributes:
        retry_after: Seconds to wait, if it says so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamDownError(UpstreamError):
    """The upstream registry cannot be reached, has failed, or stalls."""


class UpstreamSlowError(UpstreamDownError):
    """The upstream registry has not answered in time, which may be for what was asked."""


class UpstreamBrokenError(UpstreamError):
    """What the upstream registry sends is not what was asked for. It is not kept."""
