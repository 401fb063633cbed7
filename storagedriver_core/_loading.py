"""Reading and validating one section: file, environment, secrets, model."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from storagedriver_core import _model_keys
from storagedriver_core._document import Document, Key
from storagedriver_core._environment import apply_override, interpolate, overrides, read_secrets
from storagedriver_core._errors import ConfigurationError
from storagedriver_core._plugins import PluginRegistry, close_match, load_plugins
from storagedriver_core._storage_config import StorageConfig
from storagedriver_core._storage_model import StorageModel, storage_model

Model = TypeVar("Model", bound=BaseModel)

# Where pydantic's own words name types of Python.
_PLAIN = {
    "missing": "required",
    "model_type": "a mapping is wanted, of keys and their values",
    "dict_type": "a mapping is wanted, of keys and their values",
    "path_type": "a path is wanted",
}


def load_section(
    source: str | Path | Mapping[str, Any] | Document,
    section: str,
    environment: Mapping[str, str] | None,
) -> StorageConfig:
    """Do what `load_config` says."""
    plugins = load_plugins()
    document = source if isinstance(source, Document) else make_document(source)
    _check_section(document, section)
    if environment is None and isinstance(source, str | Path):
        environment = os.environ
    if environment is not None:
        interpolate(document, section, environment)
    model = _apply_environment(document, section, environment or {}, plugins)
    read_secrets(document, section, model)
    values = validate_part(model, document, (section,))
    config = StorageConfig(section, values, document, plugins)
    config.check_order()
    return config


def make_schema(name: str) -> dict[str, Any]:
    """Do what `driver_schema` says."""
    plugins = load_plugins()
    schema = storage_model(plugins.driver(name), plugins.middlewares).model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Configuration of a storage with the driver {name}",
        "type": "object",
        "properties": {"storage": {key: schema[key] for key in schema if key != "$defs"}},
        "required": ["storage"],
        "$defs": schema.get("$defs", {}),
    }


def make_document(source: str | Path | Mapping[str, Any]) -> Document:
    """Do what `read_document` says."""
    if isinstance(source, Mapping):
        return Document(copy.deepcopy(dict(source)))
    from storagedriver_core._yaml import read_yaml

    return read_yaml(Path(source))


def validate_part(model: type[Model], document: Document, key: Key) -> Model:
    """Do what `validate_document` says, for the mapping at `key`."""
    _read_as_text(model, document, key)
    try:
        return model.model_validate(_below(document, key))
    except ValidationError as error:
        faults = list(_faults(error, document, key, model))
    # Outside of `except`: pydantic's own error holds the input, and so perhaps secrets.
    raise ConfigurationError("\n".join(faults))


def _below(document: Document, key: Key) -> Any:
    data = document.data
    for part in key:
        data = data[part]
    return data


def _read_as_text(model: type[BaseModel], document: Document, start: Key) -> None:
    """Give text where text is wanted: a password of digits only is one that YAML reads as a number.

    It is what stands in the file, `0123` for `0123`.
    """
    for key, annotation, _ in list(_model_keys.scalars(model, _below(document, start))):
        text = document.texts.get((*start, *key))
        if text is not None and _model_keys.is_text(annotation):
            document.set((*start, *key), text, document.origin((*start, *key)))


def _check_section(document: Document, section: str) -> None:
    if not isinstance(document.data, Mapping):
        raise ConfigurationError(document.error((), "the document is not a mapping"))
    if section not in document.data:
        # A misspelt section is another spelling of the one that is missing.
        near = [name for name in document.data if close_match(section, [name])]
        hint = f"; is {near[0]!r} meant to be it?" if near else ""
        place = document.origin(tuple(near[:1]))
        message = f"there is no section {section!r}{hint}"
        raise ConfigurationError(f"{place}: {message}" if place else message)
    if not isinstance(document.data[section], Mapping):
        raise ConfigurationError(document.error((section,), "not a mapping"))


def _apply_environment(
    document: Document, section: str, environment: Mapping[str, str], plugins: PluginRegistry
) -> type[StorageModel]:
    """Apply the overrides, and give the model of the driver that is named in the end."""
    found = overrides(environment, section, document)
    # The driver first: which other keys there are depends on it.
    for override in [one for one in found if one.is_for("driver")]:
        document.set((section, "driver"), override.value, override.place)
    key = (section, "driver")
    name = document.data[section].get("driver")
    if not isinstance(name, str):
        installed = ", ".join(plugins.drivers)
        raise ConfigurationError(
            document.error(key, f"the name of a driver is required; installed: {installed}")
        )
    try:
        spec = plugins.driver(name)
    except ConfigurationError as error:
        raise ConfigurationError(document.error(key, error.message)) from None
    model = storage_model(spec, plugins.middlewares)
    for override in found:
        apply_override(document, section, model, override)
    return model


def _faults(
    error: ValidationError, document: Document, start: Key, model: type[BaseModel]
) -> Iterator[str]:
    """Spell each fault in a line: where, which key, and what."""
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        key = start
        annotation: Any = model
        message = _PLAIN.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
        for part in fault["loc"]:
            below = _model_keys.child(annotation, part)
            if below is not None:
                key, annotation = (*key, part), below
                continue
            # Else it is what pydantic calls one arm of a union, and no key.
            if fault["type"] == "extra_forbidden":
                key = (*key, part)
                message = _unknown_key(str(part), _model_keys.names(annotation))
            break
        yield document.error(key, message)


def _unknown_key(name: str, known: Mapping[str, Any]) -> str:
    hint = close_match(name, known) or f"; known: {', '.join(known) or 'none'}"
    return f"unknown key {name!r}{hint}"
