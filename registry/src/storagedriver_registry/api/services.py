"""What the handlers work with."""

from __future__ import annotations

from dataclasses import dataclass

from storagedriver_registry.api.codes import UNSUPPORTED
from storagedriver_registry.api.descriptors import Route
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.urls import UrlBuilder
from storagedriver_registry.api.validation import ManifestValidation
from storagedriver_registry.storage import Stores

_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Services:
    """One registry, as its handlers see it.

    Attributes:
        stores: What is stored.
        urls: Builds the URLs of answers.
        delete_enabled: Whether anything may be deleted.
        read_only: Whether nothing may be written at all.
        redirect_enabled: Whether clients are sent to the store for blobs, where it signs URLs.
        validation: Checks manifests that are pushed.
        most_repositories: Entries of one page of the catalog, at most.
        most_tags: Tags of one page, at most; None for no limit.
    """

    stores: Stores
    urls: UrlBuilder
    delete_enabled: bool
    read_only: bool
    redirect_enabled: bool
    validation: ManifestValidation
    most_repositories: int
    most_tags: int | None

    def require_writable(self, route: Route) -> None:
        """Raise if nothing may be written. The answer names the resource's other methods."""
        if self.read_only:
            others = [method for method in route.methods if method in _READING]
            raise ApiError(UNSUPPORTED, headers={"allow": ", ".join(others)})

    def require_delete(self, route: Route) -> None:
        """Raise unless deletion is enabled. The answer names the resource's other methods."""
        self.require_writable(route)
        if not self.delete_enabled:
            others = [method for method in route.methods if method != "DELETE"]
            raise ApiError(UNSUPPORTED, headers={"allow": ", ".join(others)})
