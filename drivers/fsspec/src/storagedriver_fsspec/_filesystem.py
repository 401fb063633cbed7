"""Finding a filesystem's class and making an instance: the one edge where fsspec is untyped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storagedriver_core import ConfigurationError
from storagedriver_fsspec._errors import translating


def filesystem_class(protocol: str) -> Any:
    """Import and give the class of a protocol.

    Raises:
        ConfigurationError: fsspec does not know it, or what it needs is not installed.
    """
    from fsspec.registry import available_protocols, get_filesystem_class, registry

    if protocol not in registry and protocol not in available_protocols():
        known = ", ".join(sorted({*available_protocols(), *registry}))
        raise ConfigurationError(f"fsspec knows no protocol {protocol!r}; it knows {known}")
    try:
        return get_filesystem_class(protocol)
    except ImportError as error:
        # fsspec's own text says what to install.
        raise ConfigurationError(f"protocol {protocol!r}: {error}") from error


def make_filesystem(cls: Any, options: Mapping[str, Any]) -> Any:
    """Make an instance that shares nothing and caches nothing. Blocking ones connect here.

    Raises:
        ConfigurationError: The class does not take the options. No value is repeated.
    """
    from fsspec.dircache import DirCache

    options = dict(options)
    if isinstance(options.get("port"), str):  # as environment variables have it
        options["port"] = int(options["port"])
    if isinstance(options.get("auth"), list):  # YAML has no tuples
        options["auth"] = tuple(options["auth"])
    if cls.async_impl:
        options["asynchronous"] = True
    try:
        with translating():
            made = cls(**options, skip_instance_cache=True)
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, TypeError | ValueError):
            names = ", ".join(sorted(options)) or "none"
            raise ConfigurationError(
                f"{cls.__name__} does not take these options: {names}"
            ) from cause
        raise
    # Not by an option: some classes hand theirs on to a library that would not know it.
    made.dircache = DirCache(use_listings_cache=False)
    return made
