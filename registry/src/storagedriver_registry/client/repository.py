"""One repository of a registry."""

from __future__ import annotations

from storagedriver_registry.client.blobs import Blobs
from storagedriver_registry.client.errors import InvalidReferenceError
from storagedriver_registry.client.manifests import Manifests
from storagedriver_registry.client.origins import Origin, Origins
from storagedriver_registry.client.referrers import Referrers
from storagedriver_registry.client.tags import Tags
from storagedriver_registry.client.transport import Transport
from storagedriver_registry.reference import is_name


class Repository:
    """One repository of a registry; `RegistryClient.repository` makes it, and asks nothing.

    Attributes:
        host: The registry, as references name it.
        name: Its name.
        blobs: Its blobs; read from its mirrors first.
        manifests: Its manifests; read from its mirrors first.
        tags: Its tags.
        referrers: What refers to its manifests.
        itself: The repository without mirrors: what is read to be written again has to come from
            there.
    """

    def __init__(self, transport: Transport, name: str, origins: Origins | None = None) -> None:
        if not is_name(name):
            raise InvalidReferenceError(f"{name!r} is no name of a repository")
        self.name = name
        self.host = transport.host
        self.itself = self if origins is None else Repository(transport, name)
        origins = origins or Origins((), Origin(transport, name))
        self.blobs = Blobs(transport, name, origins)
        self.manifests = Manifests(transport, name, origins)
        self.tags = Tags(origins.last, self.manifests)
        self.referrers = Referrers(origins.last, self.itself.manifests)

    def __repr__(self) -> str:
        return f"<Repository {self.host}/{self.name}>"
