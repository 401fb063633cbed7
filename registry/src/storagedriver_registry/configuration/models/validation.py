"""The section `validation`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from storagedriver_registry.configuration.models.base import AnyCase, Section


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    return pattern


_Pattern = Annotated[str, AfterValidator(_compiles)]


class UrlValidationSettings(Section):
    """Which URLs the layers of a pushed manifest may name; without either list any.

    Attributes:
        allow: Regular expressions, of which each URL has to match one.
        deny: Regular expressions, of which no URL may match any.
    """

    allow: tuple[_Pattern, ...] = ()
    deny: tuple[_Pattern, ...] = ()


class PlatformSettings(Section):
    """A platform.

    Attributes:
        architecture: As Go has it, `amd64`.
        os: As Go has it, `linux`.
    """

    architecture: str
    os: str


class IndexValidationSettings(Section):
    """Which members of a pushed index the repository must have.

    Attributes:
        platforms: `all`, `none`, or those of the platforms in the `list`.
        platformlist: These platforms.
    """

    platforms: Annotated[Literal["all", "none", "list"], AnyCase] = "all"
    platformlist: tuple[PlatformSettings, ...] = ()


class ManifestValidationSettings(Section):
    """What is asked of manifests.

    Attributes:
        urls: URLs of layers.
        indexes: Members of indexes.
    """

    urls: UrlValidationSettings = UrlValidationSettings()
    indexes: IndexValidationSettings = IndexValidationSettings()


class ValidationSettings(Section):
    """What is asked of pushed manifests.

    Attributes:
        disabled: Ask nothing: neither that their blobs are there.
        enabled: What `disabled` was called, the other way round; it decides nothing.
        manifests: What is asked of manifests.
    """

    disabled: bool = False
    enabled: bool | None = None
    manifests: ManifestValidationSettings = ManifestValidationSettings()
