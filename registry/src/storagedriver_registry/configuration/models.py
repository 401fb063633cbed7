"""The keys of `config.yml`, but for those of the storage driver.

Source: distribution's documentation, "Configuring a registry". Keys that are not here are refused.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
)

LogLevel = Literal["error", "warn", "info", "debug"]

# Source: RFC 9110, "Fields". The server answers 500 where one is not so.
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
_HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\t\x20-\x7e\x80-\xff]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogSettings(_Model):
    """What is logged.

    Attributes:
        level: The least severity. A line for each request is of `info`.
    """

    level: LogLevel = "info"


class DeleteSettings(_Model):
    """Whether blobs, manifests and tags can be deleted.

    Attributes:
        enabled: If not, deletions are answered 405.
    """

    enabled: bool = False


class RedirectSettings(_Model):
    """Whether clients fetch blobs from the store itself, where it signs URLs.

    Attributes:
        disable: Send every blob through this server.
    """

    disable: bool = False


class StorageSettings(_Model):
    """What the registry does with its storage; the driver's key stands beside these.

    Attributes:
        delete: Deletion.
        redirect: Redirects of blobs.
    """

    delete: DeleteSettings = DeleteSettings()
    redirect: RedirectSettings = RedirectSettings()


class HttpSettings(_Model):
    """How the registry is served.

    Attributes:
        addr: Address and port to listen at; without an address, on all.
        prefix: Path below which everything is served.
        host: Base of the URLs that are sent, as `https://registry.example`; by default what the
            client or its proxy says that it asked.
        relativeurls: Send URLs without scheme and host.
        secret: Signs upload sessions. Without it a key is made and kept in the storage.
        headers: Headers of every answer.
    """

    addr: str = Field(default=":5000", pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\[\]]*):[0-9]{1,5}$")
    prefix: str = Field(default="/", pattern=r"^/(.*/)?$")
    host: str | None = Field(default=None, pattern=r"^https?://[^/]+/?$")
    relativeurls: bool = False
    secret: SecretStr | None = None
    headers: dict[_HeaderName, list[_HeaderValue]] = {}

    @field_validator("addr")
    @classmethod
    def _is_a_port(cls, addr: str) -> str:
        if int(addr.rpartition(":")[2]) > 65535:
            raise ValueError("a port is at most 65535")
        return addr

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen at."""
        host, _, port = self.addr.rpartition(":")
        return host.strip("[]") or "0.0.0.0", int(port)


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    return pattern


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_Pattern = Annotated[str, AfterValidator(_compiles)]


class UrlValidationSettings(_Model):
    """Which URLs the layers of a pushed manifest may name; without either list any.

    Attributes:
        allow: Regular expressions, of which each URL has to match one.
        deny: Regular expressions, of which no URL may match any.
    """

    allow: list[_Pattern] = []
    deny: list[_Pattern] = []


class PlatformSettings(_Model):
    """A platform.

    Attributes:
        architecture: As Go has it, `amd64`.
        os: As Go has it, `linux`.
    """

    architecture: str
    os: str


class IndexValidationSettings(_Model):
    """Which members of a pushed index the repository must have.

    Attributes:
        platforms: `all`, `none`, or those of the platforms in the `list`.
        platformlist: These platforms.
    """

    platforms: Annotated[Literal["all", "none", "list"], BeforeValidator(_lower)] = "all"
    platformlist: list[PlatformSettings] = []


class ManifestValidationSettings(_Model):
    """What is asked of manifests.

    Attributes:
        urls: URLs of layers.
        indexes: Members of indexes.
    """

    urls: UrlValidationSettings = UrlValidationSettings()
    indexes: IndexValidationSettings = IndexValidationSettings()


class ValidationSettings(_Model):
    """What is asked of pushed manifests.

    Attributes:
        disabled: Ask nothing: neither that their blobs are there.
        enabled: What `disabled` was called, the other way round; it decides nothing.
        manifests: What is asked of manifests.
    """

    disabled: bool = False
    enabled: bool | None = None
    manifests: ManifestValidationSettings = ManifestValidationSettings()


class CatalogSettings(_Model):
    """The list of repositories.

    Attributes:
        maxentries: Entries of one page at most; who asks for more is refused.
    """

    maxentries: int = Field(default=1000, ge=1)


class TagsSettings(_Model):
    """The lists of tags.

    Attributes:
        maxtags: Tags of one page at most, whatever is asked; by default no limit.
    """

    maxtags: int | None = Field(default=None, ge=1)


class Settings(_Model):
    """Everything but the storage driver.

    Attributes:
        version: Version of the configuration's form.
        log: Logging.
        storage: What the registry does with its storage.
        http: Serving.
        validation: Manifests that are pushed.
        catalog: The list of repositories.
        tags: The lists of tags.
    """

    # YAML reads the version as a number.
    version: Annotated[Literal["0.1"], BeforeValidator(str)] = "0.1"
    log: LogSettings = LogSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
    validation: ValidationSettings = ValidationSettings()
    catalog: CatalogSettings = CatalogSettings()
    tags: TagsSettings = TagsSettings()
