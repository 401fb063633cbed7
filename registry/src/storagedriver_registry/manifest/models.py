"""Typed manifests: what the registry has to know of them. Everything else in them is kept unread.

Source: image-spec, "Content Descriptors", "Image Manifest", "Image Index"; Docker's image manifest
version 2, schema 2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema
from pydantic_core import core_schema

from storagedriver_registry.digest import Digest, parse_digest


def _digest_schema(*_: Any) -> core_schema.CoreSchema:
    return core_schema.no_info_after_validator_function(parse_digest, core_schema.str_schema())


DigestText = Annotated[Digest, GetPydanticSchema(_digest_schema)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Descriptor(_Model):
    """A reference to content: what it is, its digest and its size.

    Attributes:
        media_type: Media type of the content.
        digest: Its digest.
        size: Its bytes.
        urls: From where a client may fetch content that the registry does not have.
    """

    media_type: str = Field(alias="mediaType", min_length=1)
    digest: DigestText
    size: int = Field(ge=0)
    urls: list[str] | None = None


class Manifest(_Model):
    """A manifest of a type that is unknown here: nothing in it is checked."""

    subject: Descriptor | None = None

    @property
    def required_blobs(self) -> list[Descriptor]:
        """Blobs that the repository must have."""
        return []

    @property
    def required_manifests(self) -> list[Descriptor]:
        """Manifests that the repository must have."""
        return []


class ImageManifest(Manifest):
    """An image: a configuration and layers. Artifacts are mostly of this form as well."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    config: Descriptor
    layers: list[Descriptor]

    @property
    def required_blobs(self) -> list[Descriptor]:
        """The configuration, and the layers that are not fetched from elsewhere."""
        return [self.config, *(layer for layer in self.layers if not layer.urls)]


class Index(Manifest):
    """A list of manifests, such as one for each platform."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    manifests: list[Descriptor]

    @property
    def required_manifests(self) -> list[Descriptor]:
        """Every member."""
        return self.manifests


class ArtifactManifest(Manifest):
    """An artifact in the form that OCI proposed and withdrew; some clients still push it."""

    blobs: list[Descriptor] = []

    @property
    def required_blobs(self) -> list[Descriptor]:
        """The blobs that are not fetched from elsewhere."""
        return [blob for blob in self.blobs if not blob.urls]
