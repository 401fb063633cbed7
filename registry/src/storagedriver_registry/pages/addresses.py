"""Where each page is, and what an address names: the end of one is what clients call the image."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from storagedriver_registry.digest import Digest, as_digest
from storagedriver_registry.reference import is_name, is_tag

ROOT = "/"
REPOSITORIES = "/repositories/"
ASSETS = "/assets/"


@dataclass(frozen=True, slots=True)
class Address:
    """What an address below `REPOSITORIES` names.

    Attributes:
        name: The repository; checked.
        tag: The tag, if it names one and no digest; checked.
        digest: The digest, if it names one.
    """

    name: str
    tag: str = ""
    digest: Digest | None = None


def read_address(path: str) -> Address | None:
    """Read what comes after `REPOSITORIES`; None if nothing can be called so.

    With a tag and a digest the digest counts, as it does for clients.
    """
    before, at, digest = path.removesuffix("/").partition("@")
    name, colon, tag = before.partition(":")
    if not is_name(name) or (colon and not is_tag(tag)):
        return None
    parsed = as_digest(digest)
    if at and parsed is None:
        return None
    return Address(name, "" if parsed else tag, parsed)


class Addresses:
    """Addresses of pages, and of what the API answers.

    Args:
        base: Path at which the registry is mounted, without a trailing `/`.
    """

    def __init__(self, base: str) -> None:
        self._base = quote(base)

    def repositories(self, prefix: str = "", last: str = "") -> str:
        """Give the list of repositories that begin with `prefix` and come after `last`."""
        return f"{self._base}{ROOT}{_query(prefix=prefix, last=last)}"

    def repository(self, name: str, last: str = "") -> str:
        """Give a repository with the tags that come after `last`; nothing for no name."""
        return self._below(name, "", last) if is_name(name) else ""

    def tag(self, name: str, tag: str) -> str:
        """Give the manifest that a tag points to; nothing for no tag."""
        return self._below(name, f":{tag}") if is_tag(tag) else ""

    def manifest(self, name: str, digest: Digest | None, last: str = "") -> str:
        """Give a manifest with the referrers that come after `last`; nothing for no digest."""
        return self._below(name, f"@{digest}", last) if digest else ""

    def asset(self, name: str, version: str) -> str:
        """Give a file of the pages'."""
        return f"{self._base}{ASSETS}{name}{_query(v=version)}"

    def raw(self, name: str, digest: Digest) -> str:
        """Give a manifest as the API sends it."""
        return f"{self._base}/v2/{name}/manifests/{digest}"

    def blob(self, name: str, digest: Digest | None) -> str:
        """Give a blob as the API sends it; nothing for no digest."""
        return f"{self._base}/v2/{name}/blobs/{digest}" if digest else ""

    def description(self) -> str:
        """Give the API's description of itself."""
        return f"{self._base}/v2/_openapi.json"

    def _below(self, name: str, reference: str, last: str = "") -> str:
        return f"{self._base}{REPOSITORIES}{name}{reference}{_query(last=last)}"


def _query(**parameters: str) -> str:
    given = {key: value for key, value in parameters.items() if value}
    return f"?{urlencode(given, errors='replace')}" if given else ""
