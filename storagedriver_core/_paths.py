"""The path rules, checked once for every driver.

A path is absolute: `/` or `/a/b`. A component is not empty, not `.` and not `..`, and holds the
characters that the driver's `path_alphabet` allows. The component `.storagedriver` is the drivers'
own: staging files and sidecars live below it, callers cannot name it, and no listing shows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._errors import InvalidPathError

INTERNAL_COMPONENT = ".storagedriver"
"""The one component that is the drivers' own."""

_PORTABLE = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
# Half of a surrogate pair cannot be UTF-8, so os.fsdecode's spelling of invalid bytes is refused.
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_NEEDS_A_LOOK = re.compile(r"/\.(?:\.?(?:/|$)|storagedriver(?:/|$))")


def path_checker(capabilities: Capabilities) -> Callable[[str], None]:
    """Give the function that raises `InvalidPathError` for what the driver cannot store.

    The function takes the path of a file or directory other than `/`.
    """
    alphabet = capabilities.path_alphabet
    is_spelt_well = _is_portable if alphabet == "portable" else _is_any
    needs_a_look = _NEEDS_A_LOOK.search
    printable = alphabet == "unicode"
    max_path, max_component = capabilities.max_path_bytes, capabilities.max_component_bytes
    shortest_limit = min(max_path, max_component)

    def check(path: str) -> None:
        if not isinstance(path, str):
            raise TypeError(f"a path is a str, not {type(path).__name__}")
        if not is_spelt_well(path):
            raise InvalidPathError(_why(path, alphabet), path=path)
        if "/." in path and needs_a_look(path):
            raise InvalidPathError("'.', '..' and '.storagedriver' are refused", path=path)
        if printable and not path.isprintable():
            raise InvalidPathError("control characters are not allowed", path=path)
        # len(path) counts characters, of at most 4 bytes each: the cheap test first.
        if len(path) * 4 > shortest_limit:
            encoded = path.encode()
            if len(encoded) > max_path:
                raise InvalidPathError(f"longer than {max_path} bytes", path=path)
            if max_component < len(encoded) and max_component < max(map(len, encoded.split(b"/"))):
                raise InvalidPathError(
                    f"a component is longer than {max_component} bytes", path=path
                )

    return check


def _is_portable(path: str) -> bool:
    return _PORTABLE.fullmatch(path) is not None


def _is_any(path: str) -> bool:
    # Each operation comes here: an expression for all of the path takes three times as long.
    return (
        path.startswith("/")
        and not path.endswith("/")
        and "//" not in path
        and "\x00" not in path
        and (path.isascii() or _HALF_A_PAIR.search(path) is None)
    )


def _why(path: str, alphabet: str) -> str:
    if not path.startswith("/"):
        return "a path is absolute: it begins with '/'"
    if path == "/":
        return "it is the root directory"
    if path.endswith("/") or "//" in path:
        return "a component is empty"
    return f"a component holds a character outside the alphabet {alphabet!r}"


def is_internal(path: str) -> bool:
    """Tell whether the path lies in the drivers' own part of the store."""
    # Every entry of every listing comes here, and nearly none goes past the first test.
    return INTERNAL_COMPONENT in path and f"/{INTERNAL_COMPONENT}/" in f"{path}/"


def parent(path: str) -> str:
    """Give the directory that holds `path`; of `/a` it is `/`."""
    return path.rpartition("/")[0] or "/"


def child_prefix(path: str) -> str:
    """Give the prefix that every path below the directory `path` begins with."""
    return "/" if path == "/" else f"{path}/"
