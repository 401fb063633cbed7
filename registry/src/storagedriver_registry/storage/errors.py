"""What can be wrong with a request, seen from the storage.

```text
RegistryError
├── UnknownError
│   ├── NameUnknownError
│   ├── BlobUnknownError
│   ├── ManifestUnknownError
│   ├── TagUnknownError
│   └── UploadUnknownError
├── UploadBusyError           another request is at work on the session
├── DigestMismatchError       the content is not what the digest says
└── BodyInterruptedError      the body ended before its end
```

What the store itself does wrong is a `StorageDriverError`, and passes unchanged.
"""

from __future__ import annotations


class RegistryError(Exception):
    """Root of the registry's own errors."""


class UnknownError(RegistryError):
    """What was asked for is not there.

    Attributes:
        subject: Digest, tag, name or session id that was asked for.
    """

    def __init__(self, subject: object) -> None:
        super().__init__(f"{subject} is unknown")
        self.subject = str(subject)


class NameUnknownError(UnknownError):
    """There is no such repository."""


class BlobUnknownError(UnknownError):
    """The repository has no such blob."""


class ManifestUnknownError(UnknownError):
    """The repository has no such manifest."""


class TagUnknownError(UnknownError):
    """The repository has no such tag."""


class UploadUnknownError(UnknownError):
    """There is no such upload session, or it is over, or another server's."""


class UploadBusyError(RegistryError):
    """Another request is at work on the upload session."""


class DigestMismatchError(RegistryError):
    """The content does not have the digest that was given."""


class BodyInterruptedError(RegistryError):
    """The client went away, or its body ended, before everything announced had come."""
