"""Typed manifests: what the registry has to know of them. Everything else in them is kept unread.

Source: image-spec, "Content Descriptors", "Image Manifest", "Image Index"; Docker's image manifest
version 2, schema 2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, WithJsonSchema
from pydantic_core import core_schema

from storagedriver_registry.digest import DIGEST_PATTERN, Digest, parse_digest


def _digest_schema(*_: Any) -> core_schema.CoreSchema:
    return core_schema.no_info_after_validator_function(parse_digest, core_schema.str_schema())


DigestText = Annotated[
    Digest,
    GetPydanticSchema(_digest_schema),
    WithJsonSchema({"type": "string", "pattern": f"^{DIGEST_PATTERN}$"}),
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Platform(_Model):
    """What an image runs on.

    Attributes:
        architecture: As Go has it, `amd64`.
        os: As Go has it, `linux`.
    """

    architecture: str | None = ""
    os: str | None = ""


class Descriptor(_Model):
    """A reference to content: what it is, its digest and its size.

    The specification wants all three, of whoever writes a manifest. distribution takes it without
    type and size, and so there are such manifests; a registry needs neither.

    Attributes:
        media_type: Media type of the content, if it is said.
        digest: Its digest.
        size: Its bytes, if they are said.
        urls: From where a client may fetch content that the registry does not have.
        platform: What a member of an index runs on.
    """

    media_type: str | None = Field(None, alias="mediaType")
    digest: DigestText
    size: int | None = Field(None, ge=0)
    urls: list[str] | None = None
    platform: Platform | None = None


class Manifest(_Model):
    """A manifest of a type that is unknown here: nothing in it is checked."""

    @property
    def named_urls(self) -> list[str]:
        """Every URL from which content is to be fetched."""
        return []

    @property
    def required_blobs(self) -> list[Descriptor]:
        """Blobs that the repository must have."""
        return []

    @property
    def required_manifests(self) -> list[Descriptor]:
        """Manifests that the repository must have."""
        return []


class _KnownManifest(Manifest):
    """A manifest of a known type.

    Attributes:
        subject: What it refers to.
        annotations: Listed with it among the referrers of its subject: clients that find anything
            but text there take no part of that list.
    """

    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


# Programs in Go write a list that they never filled as `null`, and distribution takes it.
_Descriptors: TypeAlias = list[Descriptor] | None


class ImageManifest(_KnownManifest):
    """An image: a configuration and layers. Artifacts are mostly of this form as well."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    config: Descriptor
    layers: _Descriptors = None

    @property
    def required_blobs(self) -> list[Descriptor]:
        """The configuration, and the layers that are not fetched from elsewhere."""
        return [self.config, *(layer for layer in self.layers or () if not layer.urls)]

    @property
    def named_urls(self) -> list[str]:
        """Those of the layers."""
        return _urls(self.layers)


class Index(_KnownManifest):
    """A list of manifests, such as one for each platform."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    manifests: _Descriptors

    @property
    def required_manifests(self) -> list[Descriptor]:
        """Every member."""
        return self.manifests or []


class ArtifactManifest(_KnownManifest):
    """An artifact in the form that OCI proposed and withdrew; some clients still push it."""

    blobs: _Descriptors = None

    @property
    def required_blobs(self) -> list[Descriptor]:
        """The blobs that are not fetched from elsewhere."""
        return [blob for blob in self.blobs or () if not blob.urls]

    @property
    def named_urls(self) -> list[str]:
        """Those of the blobs."""
        return _urls(self.blobs)


def _urls(descriptors: _Descriptors) -> list[str]:
    return [url for descriptor in descriptors or () for url in descriptor.urls or ()]
