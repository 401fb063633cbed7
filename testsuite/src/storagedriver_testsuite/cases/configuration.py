"""Configuration and discovery: E02, E03, E08 to E11."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from storagedriver_core import (
    API_VERSION,
    ConfigurationError,
    DriverSpec,
    StorageConfig,
    discover_plugins,
    driver_schema,
    hookimpl,
    load_config,
    load_plugins,
    open_storage,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup

PREFIX = "STORAGEDRIVER__"
SECRET_WORDS = ("password", "secret", "token", "credential", "private")
A_SECRET = "hunter2-and-nobody-else"


class ConfigurationCases(CaseGroup):
    """From a file or mapping to a storage, and what is installed."""

    @case("E02", needs=("harness.bad_parameters",))
    async def test_bad_parameters_are_refused_by_name(self, kit: Kit) -> None:
        for parameters, key in kit.harness.bad_parameters():
            document = {"driver": kit.storage.driver_name, "parameters": parameters}
            with pytest.raises(ConfigurationError, match=key):
                open_storage({"storage": document})

    @case("E03", needs=("harness.parameters",))
    async def test_mapping_and_file_give_the_same_storage(self, kit: Kit) -> None:
        document = _document(kit, part_size=70_000, capabilities={"put_if_absent": False})
        with _as_file(document) as file:
            from_file, from_mapping = open_storage(file), open_storage(document)
            assert _values(load_config(file)) == _values(load_config(document))
        assert from_file.capabilities == from_mapping.capabilities
        # A configuration knows nothing of the middleware that the suite goes through.
        bare = kit.harness.driver().capabilities
        assert from_file.capabilities == bare.narrow({"put_if_absent": False})
        async with from_file, from_mapping:
            for storage in (from_file, from_mapping):
                await storage.put_content("/a", b"content")
                assert await storage.get_content("/a") == b"content"
                await storage.delete("/a")
            if kit.capabilities.shared_between_processes:
                await from_file.put_content("/b", b"seen")
                assert await from_mapping.get_content("/b") == b"seen"
                assert await kit.peek("/b") == b"seen"

    @case("E08", needs=("harness.parameters",))
    async def test_keys_are_known_or_refused_settable_by_variables_and_secrets_hidden(
        self, kit: Kit
    ) -> None:
        document = _document(kit)
        _assert_misspelt_keys_are_refused(document)
        for key, value in _values(load_config(document)).items():
            variable = PREFIX + key.upper().replace(".", "__")
            text = value if isinstance(value, str) else json.dumps(value)
            try:
                config = load_config(document, environment={variable: text})
            except ConfigurationError as error:
                # The key was found; only its text is not how the driver spells such a value.
                assert f"environment variable {variable}: {key}" in str(error)
            else:
                origins = {setting.key: setting.origin for setting in config.settings()}
                assert origins[key] == f"environment variable {variable}"
        _assert_secrets_are_hidden(document)

    @case("E09", needs=("harness.parameters",))
    async def test_configuration_survives_a_round_trip_and_has_a_schema(self, kit: Kit) -> None:
        middleware = [{"retry": {"attempts": 2}}, {"limit": None}]
        document = _document(
            kit, middleware=middleware, part_size=70_000, capabilities={"put_if_absent": False}
        )
        config = load_config(document)
        with _as_file(json.loads(json.dumps(config.to_mapping(reveal_secrets=True)))) as file:
            again = load_config(file)
        with TemporaryDirectory() as directory:
            file = Path(directory, "storage.yml")
            file.write_text(config.to_yaml(reveal_secrets=True))
            from_yaml = load_config(file)
        assert _values(config) == _values(again) == _values(from_yaml)
        assert config.to_yaml() == again.to_yaml() == from_yaml.to_yaml()

        schema = driver_schema(kit.storage.driver_name)
        json.dumps(schema)
        section = schema["properties"]["storage"]["properties"]
        assert section["driver"]["const"] == kit.storage.driver_name
        parameters = schema["$defs"][section["parameters"]["$ref"].rpartition("/")[2]]
        assert parameters["additionalProperties"] is False
        model = load_plugins().driver(kit.storage.driver_name).parameters
        assert len(parameters.get("properties", {})) == len(model.model_fields)

    @case("E10", needs=("harness.parameters",))
    async def test_broken_plugins_are_reported_and_the_others_load(self, kit: Kit) -> None:
        name = kit.storage.driver_name
        newer = (API_VERSION[0] + 1, 0)
        broken = {
            "cannot-be-imported": _failing_import,
            "hook-raises": lambda: _plugin(_failing_hook),
            "repeats-a-name": lambda: _plugin(lambda: [_spec(name)]),
            "wants-a-newer-major": lambda: _plugin(lambda: [_spec("newer", newer)]),
        }
        good = {"good": lambda: _plugin(lambda: [_spec("good")])}
        plugins = [
            SimpleNamespace(name=key, dist=SimpleNamespace(name=key, version="1.0"), load=load)
            for key, load in {**broken, **good}.items()
        ]
        installed: Any = [*plugins, *entry_points(group="storagedriver")]
        registry = discover_plugins(installed)
        reported = {problem.distribution: problem.message for problem in registry.problems}
        assert set(broken) <= set(reported) and "good" not in reported
        assert all(reported[distribution] for distribution in broken)
        assert {"good", name} <= set(registry.drivers) and "newer" not in registry.drivers
        assert registry.sources[registry.drivers[name]].distribution not in broken

    @case("E11", needs=("harness.parameters",))
    async def test_unknown_driver_is_refused_with_what_to_install(self, kit: Kit) -> None:
        name = kit.storage.driver_name
        with pytest.raises(ConfigurationError) as unknown:
            open_storage({"storage": {"driver": "no-such-driver"}})
        assert name in str(unknown.value)
        assert "pip install storagedriver-no-such-driver" in str(unknown.value)
        with pytest.raises(ConfigurationError, match=f"did you mean '{name}'"):
            open_storage({"storage": {"driver": f"{name}x"}})


def _document(kit: Kit, **settings: Any) -> dict[str, Any]:
    parameters = json.loads(json.dumps(dict(kit.harness.parameters()), default=str))
    driver = kit.storage.driver_name
    return {"storage": {"driver": driver, "parameters": parameters, **settings}}


@contextmanager
def _as_file(document: Mapping[str, Any]) -> Iterator[Path]:
    with TemporaryDirectory() as directory:
        file = Path(directory, "storage.yml")
        file.write_text(json.dumps(document))  # which is YAML as well
        yield file


def _values(config: StorageConfig) -> dict[str, Any]:
    return {setting.key: setting.value for setting in config.settings()}


def _assert_misspelt_keys_are_refused(document: dict[str, Any]) -> None:
    section = document["storage"]
    model = load_plugins().driver(section["driver"]).parameters
    misspelt = [({**section, "part_sise": 1}, "part_sise", "part_size")]
    for name in model.model_fields:
        parameters = {**section["parameters"], f"{name}x": "value"}
        misspelt.append(({**section, "parameters": parameters}, f"{name}x", name))
    for changed, wrong, right in misspelt:
        with _as_file({"storage": changed}) as file, pytest.raises(ConfigurationError) as refused:
            load_config(file, environment={})
        text = str(refused.value)
        assert f"unknown key {wrong!r} (did you mean {right!r}?)" in text
        assert f"{file}:1" in text


def _assert_secrets_are_hidden(document: dict[str, Any]) -> None:
    section = document["storage"]
    model = load_plugins().driver(section["driver"]).parameters
    hidden = _hidden_fields(model)
    if hidden:
        parameters = {**section["parameters"], **dict.fromkeys(hidden, A_SECRET)}
        config = load_config({"storage": {**section, "parameters": parameters}})
        shown = [repr(config), config.to_yaml(), repr(config.settings()), repr(config.parameters)]
        assert not any(A_SECRET in text for text in shown)


def _hidden_fields(model: type[BaseModel]) -> set[str]:
    """Give the fields that hide what they hold, and check those of the models inside."""
    below = {name: _model_in(field.annotation) for name, field in model.model_fields.items()}
    for inner in below.values():
        if inner is not None:
            _hidden_fields(inner)
    plain = {name: field for name, field in model.model_fields.items() if below[name] is None}
    hidden = {name for name, field in plain.items() if _holds_secret(field.annotation)}
    named = {name for name in plain if any(word in name.lower() for word in SECRET_WORDS)}
    assert named <= hidden, f"{named - hidden} should be pydantic's SecretStr"
    return hidden


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in typing.get_args(annotation))
    return next((model for model in inner if model is not None), None)


def _holds_secret(annotation: Any) -> bool:
    if annotation in (SecretStr, SecretBytes):
        return True
    return any(_holds_secret(argument) for argument in typing.get_args(annotation))


class _NoParameters(BaseModel, extra="forbid"):
    pass


def _spec(name: str, api_version: tuple[int, int] = API_VERSION) -> DriverSpec:
    return DriverSpec(
        name=name,
        summary="Made for a case",
        factory="nowhere:Driver",
        parameters=_NoParameters,
        api_version=api_version,
    )


def _plugin(register: Callable[[], list[DriverSpec]]) -> ModuleType:
    plugin: Any = ModuleType("plugin_of_a_case")

    @hookimpl
    def storagedriver_register_drivers() -> list[DriverSpec]:
        return register()

    plugin.storagedriver_register_drivers = storagedriver_register_drivers
    return plugin  # type: ignore[no-any-return]  # attributes of a module are set at run time


def _failing_import() -> ModuleType:
    raise ModuleNotFoundError("No module named 'some_sdk'")


def _failing_hook() -> list[DriverSpec]:
    raise RuntimeError("a bug of the plugin")
