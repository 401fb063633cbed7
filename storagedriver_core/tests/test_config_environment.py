from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from storagedriver_core import ConfigurationError, StorageConfig, load_config
from storagedriver_core.tests.demo_plugin import DemoParameters

pytestmark = pytest.mark.usefixtures("demo")

PREFIX = "STORAGEDRIVER__STORAGE__"
PLAIN = "storage:\n  driver: demo\n  parameters: {root_directory: /data}\n"


def load(folder: Path, text: str, **environment: str) -> StorageConfig:
    path = folder / "storage.yml"
    path.write_text(text)
    return load_config(path, environment=environment)


def value_of(config: StorageConfig, key: str) -> Any:
    value: Any = config.to_mapping(reveal_secrets=True)["storage"]
    for part in key.split("."):
        value = value[int(part) if part.isdecimal() else part]
    return value


OVERRIDES = {
    "PARAMETERS__ROOT_DIRECTORY": ("parameters.root_directory", "/other", "/other"),
    "parameters__Root_Directory": ("parameters.root_directory", "/other", "/other"),
    "PARAMETERS__SECRET_KEY": ("parameters.secret_key", "{word", "{word"),
    "PARAMETERS__MAX_THREADS": ("parameters.max_threads", "9", 9),
    "PARAMETERS__MAXTHREADS": ("parameters.max_threads", "9", 9),
    "PARAMETERS__TLS__CA_FILE": ("parameters.tls.ca_file", "/ca", "/ca"),
    "PARAMETERS__TLS__VERIFY": ("parameters.tls.verify", "false", False),
    "PARAMETERS__TLS": ("parameters.tls", "{ca_file: /x}", {"ca_file": "/x"}),
    "PARAMETERS__HEADERS__X": ("parameters.headers.x", "01", "01"),
    "PARAMETERS__HOSTS": ("parameters.hosts", "[a, b]", ["a", "b"]),
    "PARAMETERS__HOSTS__0": ("parameters.hosts.0", "a", "a"),
    "MIDDLEWARE": ("middleware", "[{retry: {attempts: 2}}]", [{"retry": {"attempts": 2}}]),
    "MIDDLEWARE__0__RETRY__ATTEMPTS": ("middleware.0.retry.attempts", "2", 2),
    "CAPABILITIES__PUT_IF_ABSENT": ("capabilities.put_if_absent", "false", False),
    "CAPABILITIES__MAX_PARTS": ("capabilities.max_parts", "8", 8),
    "PART_SIZE": ("part_size", "65536", 65536),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_variable_overrides_the_key(name: str, tmp_path: Path) -> None:
    key, text, value = OVERRIDES[name]
    config = load(tmp_path, PLAIN, **{PREFIX + name: text})
    assert value_of(config, key) == value


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, f"{prefix}{name}__")
        else:
            yield prefix + name


@pytest.mark.parametrize("key", list(keys_of(DemoParameters)))
def test_every_parameter_can_be_overridden(key: str, tmp_path: Path) -> None:
    variable = f"{PREFIX}PARAMETERS__{key}".upper()
    text = "[]" if key in ("hosts", "tokens") else "{}" if key == "headers" else "1"
    config = load(tmp_path, PLAIN, **{variable: text})
    dotted = "storage.parameters." + key.replace("__", ".")
    origins = {setting.key: setting.origin for setting in config.settings()}
    assert origins[dotted] == f"environment variable {variable}"


def test_other_spelling_of_the_file_is_replaced(tmp_path: Path) -> None:
    text = "storage:\n  driver: demo\n  parameters: {root_directory: /data, max_threads: 2}\n"
    config = load(tmp_path, text, **{f"{PREFIX}PARAMETERS__MAXTHREADS": "9"})
    assert value_of(config, "parameters.max_threads") == 9


def test_variable_sets_the_driver_and_then_its_parameters(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "storage: {driver: inmemory}",
        **{f"{PREFIX}PARAMETERS__ROOT_DIRECTORY": "/x", f"{PREFIX}DRIVER": "demo"},
    )
    assert value_of(config, "parameters.root_directory") == "/x"


def test_items_are_added_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    items = {f"{PREFIX}PARAMETERS__HOSTS__{n}": str(n) for n in (10, 2, *range(2), *range(3, 10))}
    config = load(tmp_path, PLAIN, **items)
    assert value_of(config, "parameters.hosts") == [str(n) for n in range(11)]


def test_key_of_a_free_mapping_keeps_the_letters_of_the_file(tmp_path: Path) -> None:
    text = PLAIN.replace("}", ", headers: {X-Tenant: blue}}")
    config = load(tmp_path, text, **{f"{PREFIX}PARAMETERS__HEADERS__X_TENANT": "red"})
    assert value_of(config, "parameters.headers") == {"X-Tenant": "red"}


UNKNOWN = {
    f"{PREFIX}PARAMETERS__ROOTDIRECTORY": f"(did you mean '{PREFIX}PARAMETERS__ROOT_DIRECTORY'?)",
    f"{PREFIX}PARAMETER__ROOT_DIRECTORY": "storage has no key 'parameter'",
    f"{PREFIX}PARAMETERS__REGION__X": "storage.parameters.region has no key 'x'",
    f"{PREFIX}PARAMETERS__HOSTS__1": "storage.parameters.hosts has no item before 1",
    f"{PREFIX}PARAMETERS__TLS__": "storage.parameters.tls has no key ''",
    "STORAGEDRIVER__STORGE__DRIVER": "names no key (did you mean 'STORAGEDRIVER__STORAGE__'?)",
    "STORAGEDRIVER__STORAGE": "names no key",
}


@pytest.mark.parametrize("variable", UNKNOWN)
def test_variable_that_names_no_key_is_refused(variable: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, PLAIN, **{variable: "value-of-it"})
    assert f"environment variable {variable}" in str(caught.value)
    assert UNKNOWN[variable] in str(caught.value)
    assert "value-of-it" not in str(caught.value)


def test_wrong_value_of_a_variable_names_the_variable(tmp_path: Path) -> None:
    variable = f"{PREFIX}PARAMETERS__MAX_THREADS"
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, PLAIN, **{variable: "many"})
    assert f"environment variable {variable}: storage.parameters.max_threads:" in str(caught.value)


def test_variable_of_another_section_or_program_is_left_alone(tmp_path: Path) -> None:
    text = PLAIN + "cold: {driver: inmemory}\n"
    others = {"STORAGEDRIVER__COLD__PART_SIZE": "1", "STORAGEDRIVER_CONFIG": "x", "HOME": "/h"}
    assert load(tmp_path, text, **others).driver_name == "demo"


def test_file_takes_the_process_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}PARAMETERS__REGION", "there")
    path = tmp_path / "storage.yml"
    path.write_text(PLAIN)
    assert value_of(load_config(path), "parameters.region") == "there"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${NAME}", "blue"),
        ("a${NAME}b${NAME}", "abluebblue"),
        ("${MISSING:-green}", "green"),
        ("${EMPTY:-green}", "green"),
        ("x${EMPTY}", "x"),
        ("x${MISSING:-}", "x"),
        ("$${NAME}", "${NAME}"),
        ("$NAME $ $", "$NAME $ $"),
        ("${NESTED}", "${NAME}"),
    ],
)
def test_reference_in_a_string_is_replaced(text: str, value: str, tmp_path: Path) -> None:
    config = load(
        tmp_path,
        PLAIN.replace("/data", f"'{text}'"),
        NAME="blue",
        EMPTY="",
        NESTED="${NAME}",
    )
    assert value_of(config, "parameters.root_directory") == value


def test_secret_is_read_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hidden-word\n\n")
    config = load(tmp_path, PLAIN.replace("}", ", secret_key: file:key, tokens: ['file:key']}"))
    assert value_of(config, "parameters.secret_key") == "hidden-word\n"
    assert value_of(config, "parameters.tokens") == ["hidden-word\n"]


def test_secret_that_is_no_text_is_told_by_key_and_line_without_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"hidden\xff")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, PLAIN.replace("}", ", secret_key: file:key}"))
    text = "".join(traceback.format_exception(caught.value))
    assert f":3: storage.parameters.secret_key: {tmp_path}/key: not UTF-8 at byte 6" in text
    assert "hidden" not in text


def test_file_reference_outside_a_secret_is_a_plain_string(tmp_path: Path) -> None:
    config = load(tmp_path, PLAIN.replace("/data", "file:key"))
    assert value_of(config, "parameters.root_directory") == "file:key"


def test_settings_say_where_each_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hidden-word\n")
    config = load(
        tmp_path,
        "storage:\n  driver: demo\n  parameters:\n    root_directory: ${NAME}\n"
        "    secret_key: file:key\n    maxthreads: 7\n",
        NAME="blue",
        **{f"{PREFIX}PARAMETERS__REGION": "there"},
    )
    file = tmp_path / "storage.yml"
    found = {one.key.removeprefix("storage."): (one.value, one.origin) for one in config.settings()}
    assert found["driver"] == ("demo", f"{file}:2")
    assert found["parameters.root_directory"] == ("blue", f"{file}:4 with $NAME")
    assert found["parameters.secret_key"] == ("**********", f"{file}:5 from {tmp_path / 'key'}")
    assert found["parameters.max_threads"] == (7, f"{file}:6")
    assert found["parameters.region"] == (
        "there",
        f"environment variable {PREFIX}PARAMETERS__REGION",
    )
    assert found["parameters.tls.verify"] == (True, "default")
    assert found["part_size"] == (8 * 1024 * 1024, "default")
