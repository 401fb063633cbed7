"""Reading the challenges of a registry. Source: RFC 9110, section 11; RFC 6750, section 3."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SCHEME = re.compile(rf"\s*,*\s*({_TOKEN})(?=\s|,|$)\s*")
_PARAMETER = re.compile(rf"\s*,*\s*({_TOKEN})\s*=\s*({_QUOTED}|{_TOKEN})\s*(?:,|$)?")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry asks for.

    Attributes:
        scheme: In lower case: `basic`, `bearer`.
        parameters: Their names in lower case.
    """

    scheme: str
    parameters: Mapping[str, str]

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the token that it asks for."""
        return frozenset(self.parameters.get("scope", "").split())


def parse_challenges(values: Sequence[str]) -> list[Challenge]:
    """Read the values of `WWW-Authenticate`; what is malformed is left out."""
    return [challenge for value in values for challenge in _parse(value)]


def _parse(value: str) -> Iterator[Challenge]:
    position = 0
    while (scheme := _SCHEME.match(value, position)) is not None:
        position = scheme.end()
        parameters: dict[str, str] = {}
        while (parameter := _PARAMETER.match(value, position)) is not None:
            position = parameter.end()
            parameters[parameter[1].lower()] = _unquoted(parameter[2])
        yield Challenge(scheme[1].lower(), parameters)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
