"""The configuration, as docker/distribution spells it."""

from __future__ import annotations

from storagedriver_registry.configuration.loading import (
    Configuration,
    default_configuration,
    load_configuration,
)
from storagedriver_registry.configuration.models import Settings
from storagedriver_registry.configuration.variables import CONFIGURATION_PATH

__all__ = [
    "CONFIGURATION_PATH",
    "Configuration",
    "Settings",
    "default_configuration",
    "load_configuration",
]
