"""What a manifest says, as far as it is shown. Anybody may have written it: nothing is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from storagedriver_registry.digest import Digest, as_digest
from storagedriver_registry.manifest import read_stored
from storagedriver_registry.pages.formats import size_of, text_of
from storagedriver_registry.pages.limits import ROWS, ROWS_OF_ONE, Some, first, first_pairs

Kind: TypeAlias = Literal["image", "index", "artifact", "manifest"]

IMAGE_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
"""Types of configurations of what can be run."""

# Source: image-spec, "Pre-Defined Annotation Keys"; BuildKit's "attestation-storage".
_TITLES = ("org.opencontainers.image.title", "vnd.docker.reference.type")


@dataclass(frozen=True, slots=True)
class Content:
    """What a manifest says of one content.

    Attributes:
        media_type: Its type.
        digest: Its digest, as it stands there.
        parsed: The same, if it is one.
        size: Its bytes; None if that is no number.
        platform: What it runs on; empty if that is not said.
        title: What it is called; empty if that is not said.
        artifact_type: What kind of artifact it is; empty if that is not said.
        url: From where else it can be fetched; empty if that is not said.
        annotations: Its annotations.
    """

    media_type: str
    digest: str
    parsed: Digest | None
    size: int | None
    platform: str
    title: str
    artifact_type: str
    url: str
    annotations: Some[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ShownManifest:
    """A manifest.

    Attributes:
        kind: What it is, for people and for their clients.
        is_readable: Whether it is an object of JSON.
        artifact_type: What kind of artifact it is; empty if that is not said.
        members: What an index lists.
        layers: Layers, or an artifact's blobs.
        total: Bytes of layers and configuration together; None if it names no size.
        config: The configuration.
        subject: What it refers to.
        annotations: Its annotations.
    """

    kind: Kind
    is_readable: bool
    artifact_type: str
    members: Some[Content]
    layers: Some[Content]
    total: int | None
    config: Content | None
    subject: Content | None
    annotations: Some[tuple[str, str]]


def show_manifest(data: bytes) -> ShownManifest:
    """Read a stored manifest of any type."""
    document = read_stored(data)
    config = _content(document.get("config"))
    artifact_type = _text(document.get("artifactType"))
    layers = next(
        (each for key in ("layers", "blobs", "fsLayers") if (each := document.get(key))), None
    )
    return ShownManifest(
        kind=_kind(document, config, artifact_type),
        is_readable=bool(document),
        artifact_type=artifact_type,
        members=_contents(document.get("manifests")),
        layers=_contents(layers),
        total=_total(config, layers),
        config=config,
        subject=_content(document.get("subject")),
        annotations=texts(document.get("annotations")),
    )


def show_content(descriptor: Mapping[str, Any]) -> Content:
    """Read a descriptor; what it does not say is empty."""
    annotations = descriptor.get("annotations")
    named = annotations if isinstance(annotations, Mapping) else {}
    # Docker's schema 1 has no more than blobSum.
    digest = _text(descriptor.get("digest") or descriptor.get("blobSum"))
    urls = first(descriptor.get("urls")).items
    return Content(
        media_type=_text(descriptor.get("mediaType")),
        digest=digest,
        parsed=as_digest(digest),
        size=size_of(descriptor.get("size")),
        platform=platform_of(descriptor.get("platform")),
        title=next((text for key in _TITLES if (text := _text(named.get(key)))), ""),
        artifact_type=_text(descriptor.get("artifactType")),
        url=_text(urls[0]) if urls else "",
        annotations=texts(annotations, ROWS_OF_ONE),
    )


def platform_of(value: object) -> str:
    """Give a platform as Docker spells it: `linux/arm64/v8`."""
    if not isinstance(value, Mapping):
        return ""
    parts = [_text(value.get(key)) for key in ("os", "architecture", "variant")]
    version = _text(value.get("os.version"))
    return "/".join(filter(None, parts)) + (f" {version}" if version else "")


def texts(mapping: object, most: int = ROWS) -> Some[tuple[str, str]]:
    """Give the first pairs of an object of JSON, all of them as text."""
    pairs = first_pairs(mapping, most)
    return Some([(text_of(key), text_of(value)) for key, value in pairs.items], pairs.count)


def _kind(document: Mapping[str, Any], config: Content | None, artifact_type: str) -> Kind:
    if isinstance(document.get("manifests"), list):
        return "index"
    if isinstance(document.get("fsLayers"), list):
        return "image"
    is_image = config is not None and config.media_type in IMAGE_CONFIGS
    if isinstance(document.get("layers"), list):
        return "image" if is_image and not artifact_type else "artifact"
    return "artifact" if artifact_type or isinstance(document.get("blobs"), list) else "manifest"


def _contents(value: object) -> Some[Content]:
    some = first(value)
    shown = [show_content(each if isinstance(each, Mapping) else {}) for each in some.items]
    return Some(shown, some.count)


def _content(value: object) -> Content | None:
    return show_content(value) if isinstance(value, Mapping) else None


def _total(config: Content | None, layers: object) -> int | None:
    # Of all of them, not only of those that are shown.
    every = layers if isinstance(layers, list) else []
    sizes = [size_of(each.get("size")) for each in every if isinstance(each, Mapping)]
    sizes.append(None if config is None else config.size)
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _text(value: object) -> str:
    return text_of(value) if isinstance(value, str) else ""
