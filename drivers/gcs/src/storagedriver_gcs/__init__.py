"""Google Cloud Storage as a storage driver."""

# General layout. A module imports only from those above it:
#
#   _config, hooks              parameters, and what is registered; they import no SDK
#   _names, _body, _crc32c      paths and names, bodies of requests, checksums of parts
#   _errors                     the one table of errors
#   _credentials, _client       gcsfs's credentials and session; one request
#   _resources                  what the service tells of an object
#   _objects, _listing          single objects, pages of names
#   _deleting, _reading         many objects, downloads
#   _sessions, _publishing,
#   _uploads                    resumable writers
#   _signing                    signed URLs
#   _driver                     the contract
#   harness                     for the conformance suite

from __future__ import annotations

from typing import TYPE_CHECKING

from storagedriver_gcs._config import GcsConfig

if TYPE_CHECKING:
    from storagedriver_gcs._driver import GcsDriver

__all__ = ["GcsConfig", "GcsDriver"]


def __getattr__(name: str) -> object:
    # The driver's module imports the SDK, which whoever lists plugins does not need.
    if name == "GcsDriver":
        from storagedriver_gcs._driver import GcsDriver

        return GcsDriver
    raise AttributeError(name)
