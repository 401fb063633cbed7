"""Which places a repository is read from.

Source: containers/image, containers-registries.conf(5), for the meaning of each setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from storagedriver_registry.client.addresses import DOCKER_HUB, is_host
from storagedriver_registry.client.errors import InvalidReferenceError, RegistriesConfigError
from storagedriver_registry.reference import is_name

PullFromMirror: TypeAlias = Literal["all", "digest-only", "tag-only"]

_TAG_OR_DIGEST = re.compile(r"@|:[^/]*$")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A place that has copies of what a registry has, or of a part of it.

    Attributes:
        location: Host, port if there is one, and path if there is one, as
            `mirror.example:5000/hub`: what follows the prefix of its rule in the name of a
            repository follows the location there.
        insecure: Whether it may speak http, or have a certificate that nobody trusts.
        pull: Which manifests it is asked for: by digest, by tag, or both.
    """

    location: str
    insecure: bool = False
    pull: PullFromMirror = "all"

    def __post_init__(self) -> None:
        _check(self.location, "a location")


@dataclass(frozen=True, slots=True)
class RegistryRule:
    """What is configured for a registry, or for a part of one.

    Attributes:
        prefix: Which repositories: `HOST[:PORT][/PATH]`, or `*.DOMAIN` for all hosts below it.
        location: Where they are read; empty for where their name says.
        mirrors: Where they are read before, in this order.
        insecure: As of a mirror, of the registry itself.
        blocked: Whether they are neither read nor written.
    """

    prefix: str
    location: str = ""
    mirrors: tuple[Mirror, ...] = field(default=())
    insecure: bool = False
    blocked: bool = False

    def __post_init__(self) -> None:
        _check(self.prefix.removeprefix("*."), "a prefix")
        if self.location:
            _check(self.location, "a location")

    def rest(self, host: str, name: str) -> str | None:
        """Give what follows the prefix in the name of a repository; None if it has another one.

        Args:
            host: The registry.
            name: The repository; empty for the registry itself.
        """
        prefix_host, _, path = self.prefix.partition("/")
        if prefix_host.startswith("*."):
            is_host = host.endswith(prefix_host[1:])
        else:
            is_host = _usual(host) == _usual(prefix_host)
        if not is_host:
            return None
        whole = f"/{name}" if name else ""
        if not path:
            return whole
        rest = whole.removeprefix(f"/{path}")
        return rest if whole.startswith(f"/{path}") and rest[:1] in ("", "/") else None


class RegistriesConfig:
    """The rules for all registries.

    Args:
        rules: The rules. Of those with the same prefix the last one is in force.
    """

    def __init__(self, rules: Iterable[RegistryRule] = ()) -> None:
        self.rules = tuple({rule.prefix: rule for rule in rules}.values())

    def __repr__(self) -> str:
        return f"<RegistriesConfig of {', '.join(rule.prefix for rule in self.rules) or 'nothing'}>"

    def rule(self, host: str, name: str) -> RegistryRule | None:
        """Give the rule for a repository, which is the one with the longest prefix.

        Args:
            host: The registry.
            name: The repository; empty for the registry itself.
        """
        found = [rule for rule in self.rules if rule.rest(host, name) is not None]
        return max(found, key=lambda rule: len(rule.prefix), default=None)


def placed(location: str, rest: str) -> tuple[str, str]:
    """Give host and name of a repository at a location.

    Args:
        location: The location.
        rest: What follows the prefix of the rule, with its slash.

    Raises:
        InvalidReferenceError: There it has no name that one can have.
    """
    host, _, name = f"{location}{rest}".partition("/")
    if not is_name(name):
        raise InvalidReferenceError(f"{location}{rest} is no repository")
    return host, name


def _usual(host: str) -> str:
    return DOCKER_HUB if host == "index.docker.io" else host


def _check(text: str, what: str) -> None:
    host, slash, path = text.partition("/")
    if "://" in text:
        raise RegistriesConfigError(f"{text!r} is no {what[2:]}: it has a scheme")
    if _TAG_OR_DIGEST.search(path):
        raise RegistriesConfigError(f"{text!r}: {what} of one tag or digest is not supported")
    if not is_host(host) or (slash and not is_name(path)):
        raise RegistriesConfigError(f"{text!r} is no {what[2:]}: they are as example.org:5000/path")
