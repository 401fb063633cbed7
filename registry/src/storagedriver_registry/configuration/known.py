"""Every key that a configuration can have, as a model that variables are matched against."""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, create_model

from storagedriver_core import Capabilities, load_plugins
from storagedriver_registry.auth import load_auth_plugins
from storagedriver_registry.configuration.models import Settings, StorageSettings
from storagedriver_registry.configuration.short_forms import OTHER_S3

REMOVED_DRIVERS = ("swift", "oss")
"""Drivers that distribution 2 had."""


@functools.cache
def known_keys() -> type[BaseModel]:
    """Give the model, which validates nothing; it is made once for the installed plugins."""
    plugins = load_plugins()
    entry = _model("Entry", {name: one.parameters for name, one in plugins.middlewares.items()})
    drivers = {name: one.parameters for name, one in plugins.drivers.items()}
    if "s3" in drivers:
        drivers[OTHER_S3] = drivers["s3"]
    own = {
        "middleware": list[entry],  # type: ignore[valid-type]  # a model made at run time
        "capabilities": _model("Narrowing", typing.get_type_hints(Capabilities)),
        "part_size": int,
    }
    removed = dict.fromkeys(REMOVED_DRIVERS, dict[str, Any])
    storage = _model("StorageKeys", {**removed, **drivers, **own}, StorageSettings)
    controllers = load_auth_plugins().controllers.items()
    auth = _model("AuthKeys", {name: one.parameters for name, one in controllers})
    return _model("Keys", {"storage": storage, "auth": auth}, Settings)


def _model(
    name: str, keys: Mapping[str, Any], base: type[BaseModel] = BaseModel
) -> type[BaseModel]:
    # A key may be called as a method of BaseModel is, and so is an alias.
    fields: Any = {
        key if key in base.model_fields else f"{key}_": (
            annotation,
            Field(None, alias=None if key in base.model_fields else key),
        )
        for key, annotation in keys.items()
    }
    return create_model(name, __base__=base, **fields)
