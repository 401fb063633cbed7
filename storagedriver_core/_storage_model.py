"""The pydantic model of a storage section, made for one driver and the installed middlewares."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._parts import DEFAULT_PART_SIZE
from storagedriver_core.hookspecs import DriverSpec, MiddlewareSpec


class StorageModel(BaseModel):
    """What every storage section has; `storage_model` narrows it to one driver."""

    model_config = ConfigDict(extra="forbid")

    driver: str
    parameters: BaseModel
    middleware: list[Any]
    capabilities: Any
    part_size: int = Field(
        default=DEFAULT_PART_SIZE, ge=1, description="Bytes of a part of an upload."
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {
            "parameters": {},
            **{key: value for key, value in data.items() if value is not None},
        }


class _Choice(BaseModel):
    """Keys of which only the given ones mean anything, and show."""

    # Its keys may be called as methods of BaseModel are, and so are aliases.
    model_config = ConfigDict(extra="forbid")

    @model_serializer(mode="wrap")
    def _only_the_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialize(self).items() if value is not None}


class MiddlewareEntry(_Choice):
    """One item of the list of middlewares: a mapping of one name to its parameters."""

    @model_validator(mode="before")
    @classmethod
    def _one_with_parameters(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or len(data) != 1:
            raise ValueError("an item is a mapping of one middleware's name to its parameters")
        return {name: {} if value is None else value for name, value in data.items()}

    def chosen(self) -> tuple[str, BaseModel]:
        """Give the name and the parameters of the middleware."""
        (attribute,) = self.model_fields_set
        return type(self).model_fields[attribute].alias or attribute, getattr(self, attribute)


def storage_model(
    driver: DriverSpec, middlewares: Mapping[str, MiddlewareSpec]
) -> type[StorageModel]:
    """Make the model of a section that names `driver`."""
    models = {name: spec.parameters for name, spec in middlewares.items()}
    entry = _choice("Middleware", MiddlewareEntry, models)
    narrowing = _choice("Narrowing", _Choice, typing.get_type_hints(Capabilities))
    fields: Any = {
        "driver": (
            str,
            Field(description=driver.summary, json_schema_extra={"const": driver.name}),
        ),
        "parameters": (driver.parameters, ...),
        "middleware": (
            list[entry],  # type: ignore[valid-type]  # a model made at run time
            Field(default=[], description="Middlewares around the driver, the outermost first."),
        ),
        "capabilities": (
            narrowing,
            Field(default={}, validate_default=True, description="Capabilities to narrow."),
        ),
    }
    return create_model("Storage", __base__=StorageModel, **fields)


def _choice(name: str, base: type[_Choice], members: Mapping[str, Any]) -> type[_Choice]:
    fields: Any = {
        f"{member}_": (annotation | None, Field(default=None, alias=member))
        for member, annotation in members.items()
    }
    return create_model(name, __base__=base, **fields)
