"""References to images in registries, in Docker's grammar.

Source: distribution/reference, "Grammar", and Docker's rules for what may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from storagedriver_registry.client.addresses import DOCKER_HUB, base_url, is_host
from storagedriver_registry.client.errors import InvalidReferenceError
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest
from storagedriver_registry.reference import is_name, is_tag

DEFAULT_TAG = "latest"

_SHOWN = 300
"""Characters of what is wrong that are told of it."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """What a reference names.

    Attributes:
        host: The registry, with its port if there is one.
        name: The repository.
        tag: The tag; empty if there is none.
        digest: The digest; None if there is none. With both, the digest decides.
    """

    host: str
    name: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.name}{tag}{digest}"

    @property
    def reference(self) -> str | Digest:
        """What the registry is asked for: the digest, or the tag, or `latest`."""
        return self.digest or self.tag or DEFAULT_TAG


def parse_reference(text: str) -> ImageReference:
    """Read a reference, such as `localhost:5000/a/b:tag@sha256:…` or `alpine`.

    Without a host it is one of Docker Hub's, and there `alpine` is `library/alpine`.

    Raises:
        InvalidReferenceError: It is none; the message says which part is wrong.
    """
    rest, at, digest = text.partition("@")
    first, slash, others = rest.partition("/")
    host = DOCKER_HUB
    if slash and (first == "localhost" or first != first.lower() or set(first) & set(".:")):
        host, rest = first, others
        if not is_host(host):
            raise InvalidReferenceError(f"{_quoted(text)}: {_quoted(host)} is no host")
        base_url(host, "https")
    name, colon, tag = rest.partition(":")
    if host in (DOCKER_HUB, "index.docker.io") and "/" not in name:
        name = f"library/{name}"
    if not is_name(name):
        raise InvalidReferenceError(f"{_quoted(text)}: {_quoted(name)} is no name of a repository")
    if colon and not is_tag(tag):
        raise InvalidReferenceError(f"{_quoted(text)}: {_quoted(tag)} is no tag")
    try:
        return ImageReference(host, name, tag, parse_digest(digest) if at else None)
    except InvalidDigestError as error:
        raise InvalidReferenceError(f"{_quoted(text)}: {error}") from None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
