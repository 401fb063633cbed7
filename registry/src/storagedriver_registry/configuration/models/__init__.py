"""The keys of `config.yml`, but for those of the storage driver and the access controller.

Source: distribution's documentation, "Configuring a registry", of versions 2.8 and 3. Keys that are
not here are refused. Which of them are acted on is said in `configuration.support`.
"""

from __future__ import annotations

from storagedriver_registry.configuration.models.http import HttpSettings, TlsSettings
from storagedriver_registry.configuration.models.log import LogLevel, LogSettings
from storagedriver_registry.configuration.models.operation import (
    EndpointSettings,
    FileCheckSettings,
    HealthSettings,
    HttpCheckSettings,
    NotificationSettings,
    TcpCheckSettings,
)
from storagedriver_registry.configuration.models.redis import RedisSettings
from storagedriver_registry.configuration.models.settings import Settings
from storagedriver_registry.configuration.models.storage import CacheSettings, StorageSettings
from storagedriver_registry.configuration.models.validation import (
    PlatformSettings,
    UrlValidationSettings,
    ValidationSettings,
    compile_pattern,
)

__all__ = [
    "CacheSettings",
    "EndpointSettings",
    "FileCheckSettings",
    "HealthSettings",
    "HttpCheckSettings",
    "HttpSettings",
    "LogLevel",
    "LogSettings",
    "NotificationSettings",
    "PlatformSettings",
    "RedisSettings",
    "Settings",
    "StorageSettings",
    "TcpCheckSettings",
    "TlsSettings",
    "UrlValidationSettings",
    "ValidationSettings",
    "compile_pattern",
]
