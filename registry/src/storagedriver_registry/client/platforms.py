"""Platforms, and which member of an index is for one.

Source: image-spec, "Image Index"; of containerd's rules for what runs where, that a variant that is
not named is the usual one.
"""

from __future__ import annotations

import platform as machine
from dataclasses import dataclass
from typing import Any

from storagedriver_registry.client.errors import InvalidReferenceError, NotFoundError
from storagedriver_registry.manifest import MODELS, Index
from storagedriver_registry.manifest.documents import read_stored

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i686": "386"}
_USUAL_VARIANTS = {"arm64": "v8", "arm": "v7"}


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on.

    Attributes:
        os: As Go has it, `linux`.
        architecture: As Go has it, `amd64`.
        variant: Such as `v8`; empty for the usual one.
    """

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`.

        Raises:
            InvalidReferenceError: It is something else.
        """
        parts = text.lower().split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise InvalidReferenceError(f"{text!r} is no platform: they are as linux/arm64/v8")
        parts[1] = _ARCHITECTURES.get(parts[1], parts[1])
        return cls(*parts)

    @classmethod
    def of_this_machine(cls) -> Platform:
        """Give the platform of containers on this machine."""
        name = machine.machine().lower()
        return cls("linux", _ARCHITECTURES.get(name, name))

    def runs(self, member: Platform) -> bool:
        """Tell whether what is made for another platform runs on this one."""
        usual = _USUAL_VARIANTS.get(self.architecture, "")
        return (self.os, self.architecture, self.variant or usual) == (
            member.os,
            member.architecture,
            member.variant or usual,
        )


def is_index(media_type: str) -> bool:
    """Tell whether a type is one of a list of manifests."""
    return MODELS.get(media_type) is Index


def members(data: bytes) -> list[dict[str, Any]]:
    """Give the descriptors that an index lists, as they are."""
    listed = read_stored(data).get("manifests")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def choose(data: bytes, media_type: str, platform: Platform) -> str | None:
    """Give the digest of an index's first member for a platform; None of what is no index.

    Raises:
        NotFoundError: It has none; the message says what it has.
    """
    if not is_index(media_type):
        return None
    found: list[str] = []
    for member in members(data):
        about = member.get("platform")
        if not isinstance(about, dict):
            continue
        made_for = Platform(
            *(str(about.get(key) or "") for key in ("os", "architecture", "variant"))
        )
        digest = member.get("digest")
        if platform.runs(made_for) and isinstance(digest, str):
            return digest
        found.append(str(made_for))
    listed = ", ".join(sorted(set(found))) or "none"
    raise NotFoundError(f"the index has no member for {platform}; it has: {listed}")
