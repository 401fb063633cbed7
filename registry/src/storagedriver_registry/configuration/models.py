"""The keys of `config.yml`, but for those of the storage driver.

Source: distribution's documentation, "Configuring a registry". Keys that are not here are refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
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


class Settings(_Model):
    """Everything but the storage driver.

    Attributes:
        version: Version of the configuration's form.
        log: Logging.
        storage: What the registry does with its storage.
        http: Serving.
    """

    # YAML reads the version as a number.
    version: Annotated[Literal["0.1"], BeforeValidator(str)] = "0.1"
    log: LogSettings = LogSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
