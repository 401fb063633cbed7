"""Reading `registries.conf`, version 2, where podman, skopeo and buildah read it.

Source: containers/image, containers-registries.conf(5) and containers-registries.conf.d(5).
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from storagedriver_registry.client.errors import RegistriesConfigError
from storagedriver_registry.client.mirrors import (
    Mirror,
    PullFromMirror,
    RegistriesConfig,
    RegistryRule,
)

SYSTEM = Path("/etc/containers")

_PULLS: tuple[PullFromMirror, ...] = get_args(PullFromMirror)
_OF_MIRRORS = frozenset({"location", "insecure", "pull-from-mirror"})
_OF_REGISTRIES = frozenset(
    {"prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only"}
)

_logger = logging.getLogger(__name__)


def read_registries_conf(path: Path | None = None) -> RegistriesConfig:
    """Read the rules for registries.

    Args:
        path: The file; by default `$CONTAINERS_REGISTRIES_CONF`, the user's, or the machine's,
            whichever there is first. The files of `registries.conf.d` are read after it.

    Raises:
        RegistriesConfigError: A file cannot be read, or makes no sense; one that was named is not
            there.
    """
    rules: list[RegistryRule] = []
    for file in _files(path):
        rules += _rules(file)
    return RegistriesConfig(rules)


def _files(path: Path | None) -> Iterator[Path]:
    user = _user_folder()
    folders = [SYSTEM] if user is None else [SYSTEM, user]
    named = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    if path is None and named:
        path = Path(named)
    if path is None and user is not None and (user / "registries.conf").exists():
        # Who has a file of their own does without the machine's altogether.
        path, folders = user / "registries.conf", [user]
    if path is not None:
        yield path
    elif (SYSTEM / "registries.conf").exists():
        yield SYSTEM / "registries.conf"
    for folder in folders:
        yield from sorted((folder / "registries.conf.d").glob("*.conf"))


def _user_folder() -> Path | None:
    try:
        return Path.home() / ".config" / "containers"
    except RuntimeError:
        # A user without a home, as in a container.
        return None


def _rules(path: Path) -> list[RegistryRule]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if "registries" in document:
            raise RegistriesConfigError("the format of version 1 is not read: use [[registry]]")
        return [_rule(path, table) for table in _tables(document, "registry")]
    except OSError as error:
        raise RegistriesConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RegistriesConfigError(f"{path} is no TOML: {error}") from None
    except RegistriesConfigError as error:
        raise RegistriesConfigError(f"{path}: {error.message}") from None


def _rule(path: Path, table: Mapping[str, Any]) -> RegistryRule:
    _tell_of_others(path, table, _OF_REGISTRIES)
    location = _text(table, "location")
    prefix = _text(table, "prefix") or location
    if not prefix:
        raise RegistriesConfigError("a registry without prefix and location")
    by_digest_only = _flag(table, "mirror-by-digest-only")
    mirrors = []
    for one in _tables(table, "mirror"):
        _tell_of_others(path, one, _OF_MIRRORS)
        pull = _pull(_text(one, "pull-from-mirror"))
        if by_digest_only and pull not in (None, "digest-only"):
            raise RegistriesConfigError(
                f"registry {prefix}: mirror-by-digest-only and pull-from-mirror exclude each other"
            )
        mirrors.append(
            Mirror(
                _text(one, "location"),
                _flag(one, "insecure"),
                "digest-only" if by_digest_only else pull or "all",
            )
        )
    return RegistryRule(
        prefix, location, tuple(mirrors), _flag(table, "insecure"), _flag(table, "blocked")
    )


def _pull(text: str) -> PullFromMirror | None:
    for one in _PULLS:
        if text == one:
            return one
    if text:
        raise RegistriesConfigError(
            f"pull-from-mirror is none of {', '.join(_PULLS)}, but {text!r}"
        )
    return None


def _tables(table: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    listed = table.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise RegistriesConfigError(f"{key} is no array of tables")
    return listed


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise RegistriesConfigError(f"{key} is no text")
    return value.rstrip("/") if key in ("prefix", "location") else value


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise RegistriesConfigError(f"{key} is neither true nor false")
    return value


def _tell_of_others(path: Path, table: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in sorted(table.keys() - known):
        _logger.warning("%s: %s does nothing", path, key)
