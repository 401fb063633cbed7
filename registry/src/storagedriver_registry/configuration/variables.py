"""`REGISTRY_*` variables, which override keys: `REGISTRY_HTTP_ADDR` is `http.addr`.

distribution takes each underscore for the beginning of a level, so it has no variable for a key
that holds one. Here the name is matched against the known keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from storagedriver_core import Document, close_match, set_by_variable
from storagedriver_registry.configuration.known import known_keys
from storagedriver_registry.configuration.short_forms import write_out
from storagedriver_registry.configuration.support import SUPPORT

PREFIX = "REGISTRY_"
"""How the names of the variables begin."""

CONFIGURATION_PATH = "REGISTRY_CONFIGURATION_PATH"
"""The variable that names the file, where the command line does not."""


def apply_variables(document: Document, environment: Mapping[str, str]) -> Iterator[str]:
    """Set the keys that variables name.

    Returns:
        A warning for each variable that names none. It is no error: Kubernetes sets
        `REGISTRY_PORT` and others like it where a service is called `registry`.

    Raises:
        ConfigurationError: A value is no YAML where it has to be, or an index leaves a gap.
    """
    names = [name for name in environment if name.startswith(PREFIX)]
    # A whole before its parts; by number where both are numbers, so that item 10 of a list comes
    # after item 2.
    for name in sorted(names, key=lambda name: re.sub(r"\d+", lambda n: n[0].zfill(9), name)):
        if name == CONFIGURATION_PATH:
            continue
        if set_by_variable(document, known_keys(), name, environment[name], prefix=PREFIX):
            write_out(document)
        else:
            # Whole sections are nothing that is meant by what Kubernetes sets.
            known = (key for key in SUPPORT if "." in key)
            near = close_match(name.removeprefix(PREFIX).replace("_", "."), known)
            yield f"environment variable {name} names no key{near}"
