"""One repository of a registry."""

from __future__ import annotations

from storagedriver_registry.client.blobs import Blobs
from storagedriver_registry.client.errors import InvalidReferenceError
from storagedriver_registry.client.manifests import Manifests
from storagedriver_registry.client.referrers import Referrers
from storagedriver_registry.client.tags import Tags
from storagedriver_registry.client.transport import Transport
from storagedriver_registry.reference import is_name


class Repository:
    """One repository of a registry; `RegistryClient.repository` makes it, and asks nothing.

    Attributes:
        host: The registry, as references name it.
        name: Its name.
        blobs: Its blobs.
        manifests: Its manifests.
        tags: Its tags.
        referrers: What refers to its manifests.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        if not is_name(name):
            raise InvalidReferenceError(f"{name!r} is no name of a repository")
        self.name = name
        self.blobs = Blobs(transport, name)
        self.manifests = Manifests(transport, name)
        self.tags = Tags(transport, name, self.manifests)
        self.referrers = Referrers(transport, name, self.manifests)
        self.host = transport.host

    def __repr__(self) -> str:
        return f"<Repository {self.host}/{self.name}>"
