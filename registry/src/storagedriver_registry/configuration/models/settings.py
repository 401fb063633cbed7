"""The whole of `config.yml`, but for the storage driver and the access controller."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from storagedriver_registry.configuration.models.base import Section
from storagedriver_registry.configuration.models.http import HttpSettings
from storagedriver_registry.configuration.models.log import LogLevel, LogSettings
from storagedriver_registry.configuration.models.operation import (
    HealthSettings,
    NotificationSettings,
    ProxySettings,
    ReportingSettings,
)
from storagedriver_registry.configuration.models.redis import RedisSettings
from storagedriver_registry.configuration.models.storage import StorageSettings
from storagedriver_registry.configuration.models.validation import ValidationSettings


def _at_least_one(default: int | None) -> BeforeValidator:
    """Read what is less than one as the default, as distribution does."""
    return BeforeValidator(lambda value: default if isinstance(value, int) and value < 1 else value)


_Hidden = Annotated[Any, PlainSerializer(lambda _: "**********", when_used="json")]


class CatalogSettings(Section):
    """The list of repositories.

    Attributes:
        maxentries: Entries of one page at most; who asks for more is refused.
    """

    maxentries: Annotated[int, _at_least_one(1000)] = 1000


class TagsSettings(Section):
    """The lists of tags.

    Attributes:
        maxtags: Tags of one page at most, whatever is asked; by default no limit.
    """

    maxtags: Annotated[int | None, _at_least_one(None)] = None


class MiddlewareEntry(Section):
    """Something around the registry, a repository or the storage.

    Attributes:
        name: Which one.
        disabled: Leave it out.
        options: What it is told. Hidden: nobody but itself knows what of that is secret.
    """

    name: str
    disabled: bool = False
    options: dict[str, _Hidden] = Field(default_factory=dict, repr=False)


class MiddlewareSettings(Section):
    """What stands around what.

    Attributes:
        registry: Around the registry.
        repository: Around each repository.
        storage: Around the storage.
    """

    registry: tuple[MiddlewareEntry, ...] = ()
    repository: tuple[MiddlewareEntry, ...] = ()
    storage: tuple[MiddlewareEntry, ...] = ()


class Schema1Settings(Section):
    """Docker's manifests of schema 1; distribution 2's.

    Attributes:
        signingkeyfile: The key that signs them.
        enabled: Take and give them.
    """

    signingkeyfile: str | None = None
    enabled: bool = False


class CompatibilitySettings(Section):
    """What is done for old clients; distribution 2's.

    Attributes:
        schema1: Docker's manifests of schema 1.
    """

    schema1: Schema1Settings = Schema1Settings()


class RepositoryPolicySettings(Section):
    """What repositories may hold.

    Attributes:
        classes: Classes of content.
    """

    classes: tuple[str, ...] = ()


class PolicySettings(Section):
    """What may be held.

    Attributes:
        repository: What repositories may hold.
    """

    repository: RepositoryPolicySettings = RepositoryPolicySettings()


class Settings(Section):
    """Everything but the storage driver and the access controller.

    Attributes:
        version: Version of the configuration's form.
        loglevel: What `log.level` was called.
        log: Logging.
        storage: What the registry does with its storage.
        middleware: What stands around what.
        reporting: Reports of errors.
        http: Serving.
        notifications: What others are told.
        redis: Where Redis is.
        health: What makes a registry unhealthy.
        proxy: Another registry, of which this one is a cache.
        compatibility: What is done for old clients.
        validation: Manifests that are pushed.
        policy: What may be held.
        catalog: The list of repositories.
        tags: The lists of tags.
    """

    # YAML reads the version as a number.
    version: Annotated[Literal["0.1"], BeforeValidator(str)] = "0.1"
    loglevel: LogLevel | None = Field(None, exclude=True)
    log: LogSettings = LogSettings()
    storage: StorageSettings = StorageSettings()
    middleware: MiddlewareSettings = MiddlewareSettings()
    reporting: ReportingSettings = ReportingSettings()
    http: HttpSettings = HttpSettings()
    notifications: NotificationSettings = NotificationSettings()
    redis: RedisSettings = RedisSettings()
    health: HealthSettings = HealthSettings()
    proxy: ProxySettings = ProxySettings()
    compatibility: CompatibilitySettings = CompatibilitySettings()
    validation: ValidationSettings = ValidationSettings()
    policy: PolicySettings = PolicySettings()
    catalog: CatalogSettings = CatalogSettings()
    tags: TagsSettings = TagsSettings()
