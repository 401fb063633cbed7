"""The section `validation`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from storagedriver_registry.configuration.models.base import AnyCase, Section

# Source: the syntax of Go's regular expressions, "ASCII character classes".
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t\x20",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": r"\x20-~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r\x20",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_NAMED = re.compile(r"\[:(\^?\w+):\]")
_ESCAPE_OR_SET = re.compile(r"\\.|(\[\^?\]?)((?:\\.|\[:\^?\w+:\]|[^\]\\])*)\]", re.DOTALL)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression as distribution reads it.

    Python takes `[[:alpha:]]` for something else, silently; what else Go alone has is an error.

    Raises:
        ValueError: It is none.
    """

    def spelt_out(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        return f"{found[1]}{_NAMED.sub(_ranges, found[2])}]"

    try:
        return re.compile(_ESCAPE_OR_SET.sub(spelt_out, pattern), re.ASCII)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None


def _ranges(found: re.Match[str]) -> str:
    try:
        return _CLASSES[found[1]]
    except KeyError:
        raise ValueError(f"there is no class {found[0]} here") from None


def _compiles(pattern: str) -> str:
    compile_pattern(pattern)
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
