"""Libraries that only one middleware needs, and that are extras of the package."""

from __future__ import annotations

import importlib
from types import ModuleType

from storagedriver_core._errors import ConfigurationError


def import_extra(module: str, middleware: str) -> ModuleType:
    """Import what the middleware needs, whose name is the extra's.

    Raises:
        ConfigurationError: It is not installed. Says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"the middleware {middleware!r} needs {module.partition('.')[0]}: "
            f"pip install 'storagedriver-core[{middleware}]'"
        ) from error
