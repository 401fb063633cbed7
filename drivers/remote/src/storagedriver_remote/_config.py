"""Parameters of the driver."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from storagedriver_core import Capabilities, ConfigurationError, check_service_url

_PROGRAM = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Hidden(SecretStr):
    """A value of any type that shows in no repr, no message and no `config show`."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)

    def __repr__(self) -> str:
        return f"Hidden('{self}')"

    def __str__(self) -> str:
        return "**********"


def _hidden(value: Any) -> Any:
    """Hide every value of a tree: only the program knows which of them are secrets."""
    if isinstance(value, Mapping):
        return {key: _hidden(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item) for item in value]
    return value if isinstance(value, Hidden) else Hidden(value)


def _revealed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _revealed(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_revealed(item) for item in value]
    return value.get_secret_value()


class RemoteConfig(BaseModel):
    """Where the driver is: behind an address, or a program that is started.

    Exactly one of `connect` and `program` is given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: str | None = Field(
        None, description="Address of a server: `unix:/path/of/socket` or `http://host:port`."
    )
    token: SecretStr | None = Field(
        None, description="What the server wants to see as bearer token; TCP has to have one."
    )
    program: str | None = Field(
        None,
        description="Name of the program to start: `registry-storagedriver-<name>` on the PATH.",
    )
    parameters: Annotated[dict[str, Any], AfterValidator(_hidden)] = Field(
        default_factory=dict,
        description="What the program is given as its configuration. All values are hidden.",
    )
    start_seconds: float = Field(
        30.0, gt=0, description="Seconds that the program has to be ready in, and a call to wait."
    )
    capabilities: dict[str, Any] | None = Field(
        None,
        description="What the other side declares, for who has to know it before it is open.",
    )

    @field_validator("connect")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("unix:/"):
            if not re.fullmatch(r"http://[^/]+:\d+/?", value):
                raise ValueError("unix:/path or http://host:port")
            check_service_url(value)
        return value

    @field_validator("program")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        if value is not None and not _PROGRAM.fullmatch(value):
            raise ValueError("lower-case letters, digits, '-' and '_': the program's last part")
        return value

    def revealed(self) -> dict[str, Any]:
        """Give the parameters as the program takes them."""
        return {key: _revealed(value) for key, value in self.parameters.items()}

    def check(self) -> None:
        """Refuse what contradicts itself; each key alone may be right, and come from elsewhere.

        Raises:
            ConfigurationError: Not exactly one of `connect` and `program` is given, or
                `capabilities` holds what is none.
        """
        if (self.connect is None) == (self.program is None):
            raise ConfigurationError("one of 'connect' and 'program' is required, and not both")
        if self.program is None and self.parameters:
            raise ConfigurationError("'parameters' are for a 'program'; a server has its own")
        try:
            capabilities_from(self.capabilities or {})
        except ValueError as error:
            raise ConfigurationError(f"'capabilities': {error}") from None


def capabilities_from(document: Mapping[str, Any]) -> Capabilities:
    """Read capabilities. What is not named is not declared; what is not known is left out.

    A newer server may declare more than this release has heard of.

    Raises:
        ValueError: A value is of another type than the field.
    """
    known = Capabilities().to_json()
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            continue
        if isinstance(value, str) and not isinstance(known[name], str):
            value = json.loads(value)  # of a variable
        if isinstance(known[name], list):
            value = tuple(value)
        elif not isinstance(value, type(known[name]) if known[name] is not None else int | None):
            raise ValueError(f"capability {name!r} is {value!r}")
        values[name] = value
    try:
        return Capabilities(**values)
    except (TypeError, ConfigurationError) as error:
        raise ValueError(str(error)) from error
