"""Finding a filesystem's class and making an instance: the one edge where fsspec is untyped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from storagedriver_core import ConfigurationError
from storagedriver_fsspec._errors import translating

# Source: CPython's `ceval.c` and `getargs.c`. No value is in these texts.
_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'|'(\w+)' is an invalid keyword argument")
_MISSING = re.compile(r"missing \d+ required [\w-]+ arguments?: ([\w', ]+)$")


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
        with refusing(cls, {"port": options["port"]}):
            options["port"] = int(options["port"])
    if isinstance(options.get("auth"), list):  # YAML has no tuples
        options["auth"] = tuple(options["auth"])
    if cls.async_impl:
        options["asynchronous"] = True
    with refusing(cls, options):
        made = cls(**options, skip_instance_cache=True)
    # Not by an option: some classes hand theirs on to a library that would not know it.
    made.dircache = DirCache(use_listings_cache=False)
    return made


@contextmanager
def refusing(cls: Any, options: Mapping[str, Any]) -> Iterator[None]:
    """Enclose what a filesystem does with its options, and say which one it does not take.

    Raises:
        ConfigurationError: The block raises what Python does for wrong arguments.
    """
    try:
        with translating():
            yield
    except Exception as error:
        cause = error.__cause__
        if not isinstance(cause, TypeError | ValueError):
            raise
        raise _refused(cls.__name__, cause, options) from cause


def _refused(
    name: str, cause: TypeError | ValueError, options: Mapping[str, Any]
) -> ConfigurationError:
    text = str(cause) if isinstance(cause, TypeError) else ""
    unknown, missing = _UNKNOWN.search(text), _MISSING.search(text)
    option = (unknown[1] or unknown[2]) if unknown else ""
    if option in options:
        return ConfigurationError(f"{name} takes no option {option!r}", key=("options", option))
    if missing:
        return ConfigurationError(f"{name} needs {missing[1]}", key=("options",))
    names = ", ".join(sorted(options)) or "none"
    return ConfigurationError(f"{name} does not take these options: {names}", key=("options",))
