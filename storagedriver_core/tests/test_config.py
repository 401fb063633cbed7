from __future__ import annotations

import asyncio
import json
import pickle
import traceback
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema
import pytest
from pydantic import BaseModel, SecretStr
from pydantic_core import core_schema
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    ConfigurationError,
    driver_schema,
    load_config,
    open_storage,
    read_document,
    validate_document,
)

pytestmark = pytest.mark.usefixtures("demo")

FULL = """\
storage:
  driver: demo
  parameters:
    root_directory: /data
    secret_key: hidden-word
    tls: {ca_file: /ca}
    headers: {X-Tenant: blue}
    hosts: [one, two]
  middleware:
    - retry: {attempts: 5}
    - limit: {concurrency: 64}
  capabilities: {copy: false, max_parts: 8, checksum_algorithms: [sha256]}
  part_size: 65536
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "storage.yml"
    path.write_text(text)
    return path


def fault_of(source: Any, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_config(source, environment=environment)
    return str(caught.value)


def parameters(text: str) -> str:
    return f"storage:\n  driver: demo\n  parameters:\n    root_directory: /data\n    {text}\n"


FAULTS = {
    "region: [1]": "5: storage.parameters.region: Input should be a valid string",
    "regoin: x": "5: storage.parameters.regoin: unknown key 'regoin' (did you mean 'region'?)",
    "zzz: x": "5: storage.parameters.zzz: unknown key 'zzz'; known: root_directory, region",
    "max_threads: many": "5: storage.parameters.max_threads: Input should be a valid integer",
    "tls: yes": "5: storage.parameters.tls: a mapping is wanted, of keys and their values",
    "tls: {ca_fil: x}": "5: storage.parameters.tls.ca_fil: unknown key 'ca_fil' (did you mean 'ca",
    "hosts: [a, {b: c}]": "5: storage.parameters.hosts.1: Input should be a valid string",
    "root_directory: /twice": "5: the key 'root_directory' is given twice",
    "tls: &tls {ca_file: *tls}": "5: storage.parameters.tls.ca_file: an alias that holds itself",
    "tls: &tls {<<: *tls}": " nested too deeply",
    "tls: {<<: [x]}": "5: only mappings can be merged",
    "region: !!python/name:os.system x": "5: could not determine a constructor for the tag",
    "tls: !!python/object:os.system {}": "5: the tag tag:yaml.org,2002:python/object:os.system",
    "tls: {": "6: while parsing a flow node, expected the node content",
    "[a]: b": "5: a key is a word",
    "region: ${NOT_SET}": "5: storage.parameters.region: environment variable NOT_SET is not set",
    "region: ${NOT_SET": "5: storage.parameters.region: '${' begins no '${VARIABLE}'",
    "secret_key: file:/not/there": "5: storage.parameters.secret_key: /not/there: No such file",
    'secret_key: "file:/a\\0b"': "5: storage.parameters.secret_key: a path holds no NUL",
}


@pytest.mark.parametrize("line", FAULTS)
def test_fault_names_file_line_and_key(line: str, tmp_path: Path) -> None:
    path = write(tmp_path, parameters(line))
    assert f"{path}:{FAULTS[line]}" in fault_of(path, {})


def test_aliases_and_merge_keys_stand_for_what_they_name(tmp_path: Path) -> None:
    text = """\
a: &a {one: 1, two: 2}
b: &b {two: two, three: 3}
c: {<<: [*a, *b], one: own}
d: {<<: *a}
e: [*a, *b]
"""
    document = read_document(write(tmp_path, text))
    a, b = {"one": 1, "two": 2}, {"two": "two", "three": 3}
    merged = {"one": "own", "two": 2, "three": 3}
    assert document.data == {"a": a, "b": b, "c": merged, "d": a, "e": [a, b]}
    places = {key: place.rpartition(":")[2] for key, place in document.origins.items()}
    assert (places["c", "one"], places["c", "two"], places["c", "three"]) == ("3", "1", "2")


@pytest.mark.parametrize("line", ["[*a{0}, *a{0}]", "{{<<: [*a{0}, *a{0}]}}"])
def test_aliases_that_stand_for_a_billion_values_are_refused(line: str, tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n + 1}: &a{n + 1} {line.format(n)}" for n in range(30)]
    with pytest.raises(ConfigurationError, match=": aliases that make more than"):
        read_document(write(tmp_path, "\n".join(lines)))


SECTIONS = {
    "driver: [x]": "2: storage.driver: the name of a driver is required; installed: ",
    "drover: demo": "1: storage.driver: the name of a driver is required",
    "driver: dmeo": "2: storage.driver: unknown driver 'dmeo' (did you mean 'demo'?)",
    "driver: demo": "1: storage.parameters.root_directory: required",
    "driver: inmemory\n  partsize: 1": "3: storage.partsize: unknown key 'partsize' (did you mean",
    "driver: inmemory\n  part_size: 0": "3: storage.part_size: Input should be greater than",
    "driver: inmemory\n  capabilities: {copi: false}": "3: storage.capabilities.copi: unknown key",
    "driver: inmemory\n  middleware: [{rety: {}}]": "3: storage.middleware.0.rety: unknown key",
    "driver: inmemory\n  middleware: [retry]": "3: storage.middleware.0: an item is a mapping",
    "driver: inmemory\n  middleware: [{retry: {}, limit: {}}]": "3: storage.middleware.0: an item",
    "driver: inmemory\n  middleware: [{retry: {attemts: 1}}]": (
        "3: storage.middleware.0.retry.attemts: unknown key 'attemts' (did you mean 'attempts'?)"
    ),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_fault_of_a_section_names_file_line_and_key(section: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"storage:\n  {section}\n")
    assert f"{path}:{SECTIONS[section]}" in fault_of(path, {})


REFUSED_AT_THE_BUILDING = {
    "driver: remote\n  parameters: {}": "3: storage.parameters: one of 'connect' and 'program'",
    "driver: remote": "1: storage.parameters: one of 'connect' and 'program'",
    "driver: inmemory\n  middleware:\n  - readonly: {}\n  - prefix: {prefix: x}": (
        "5: storage.middleware.1.prefix: prefix 'x': a path is absolute"
    ),
    "driver: inmemory\n  capabilities: {sign_get: true}": (
        "3: storage.capabilities: capability 'sign_get' cannot be widened"
    ),
}


@pytest.mark.parametrize("section", REFUSED_AT_THE_BUILDING)
def test_fault_that_shows_at_the_building_names_file_line_and_key(
    section: str, tmp_path: Path
) -> None:
    path = write(tmp_path, f"storage:\n  {section}\n")
    config = load_config(path, environment={})
    with pytest.raises(ConfigurationError) as refused:
        config.build()
    assert f"{path}:{REFUSED_AT_THE_BUILDING[section]}" in str(refused.value)


@pytest.mark.parametrize("moment", ["__init__", "open"])
def test_key_that_a_driver_refuses_is_told_with_its_line(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = ConfigurationError("no such host", key=("hosts", 1))
    monkeypatch.setattr(
        InMemoryDriver, moment, Mock(side_effect=pickle.loads(pickle.dumps(refusal)))
    )
    path = write(
        tmp_path,
        "storage:\n  driver: inmemory\n  middleware: [{limit: {}}]\n  parameters: {}\n",
    )

    async def use() -> None:
        async with open_storage(path):
            pass

    with pytest.raises(ConfigurationError) as refused:
        asyncio.run(use())
    assert refused.value.message == f"{path}:4: storage.parameters.hosts.1: no such host"
    assert refused.value.key == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the document is not a mapping"),
        ("- a", "the document is not a mapping"),
        ("storage: x", "1: storage: not a mapping"),
        ("storge: {}", "1: there is no section 'storage'; is 'storge' meant to be it?"),
        ("a: 1\n--- \nb: 2", "expected a single document"),
        ("storage: \x01", "control character"),
        ("storage: 2026-13-45", "1: not a timestamp; text stands in quotes"),
        ("storage: !!bool x", "1: not a bool"),
        ("storage: " + "1" * 5000, "1: not a int"),
        ("[" * 10000, "nested too deeply"),
    ],
)
def test_document_without_the_section_is_refused(text: str, message: str, tmp_path: Path) -> None:
    assert message in fault_of(write(tmp_path, text), {})


def test_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    assert "No such file" in fault_of(tmp_path / "missing.yml")
    binary = tmp_path / "storage.yml"
    binary.write_bytes(b"storage: \xff")
    assert "not UTF-8 at byte 9" in fault_of(binary)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, parameters("regoin: x\n    max_threads: y"))
    assert len(fault_of(path, {}).splitlines()) == 2


def test_other_sections_belong_to_others(tmp_path: Path) -> None:
    path = write(tmp_path, "http: {addr: ':5000'}\ncold:\n  driver: inmemory\n" + FULL)
    assert load_config(path, environment={}).driver_name == "demo"
    assert load_config(path, section="cold", environment={}).driver_name == "inmemory"


def test_yaml_to_model_to_yaml_is_the_same(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FULL), environment={})
    written = config.to_yaml(reveal_secrets=True)
    again = load_config(write(tmp_path, written), environment={})
    assert again.parameters == config.parameters
    assert again.to_yaml(reveal_secrets=True) == written
    assert load_config(config.to_mapping(reveal_secrets=True)).to_yaml() == config.to_yaml()


def test_what_was_not_set_is_not_written(tmp_path: Path) -> None:
    config = load_config({"storage": {"driver": "demo", "parameters": {"root_directory": "/x"}}})
    assert config.to_mapping() == {
        "storage": {"driver": "demo", "parameters": {"root_directory": "/x"}}
    }


def test_secrets_show_in_no_output(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FULL), environment={})
    shown = [repr(config), config.to_yaml(), repr(config.settings()), repr(config.parameters)]
    assert not [text for text in shown if "hidden-word" in text]
    assert "secret_key: hidden-word" in config.to_yaml(reveal_secrets=True)


def test_secrets_show_in_no_error(tmp_path: Path) -> None:
    path = write(tmp_path, FULL.replace("part_size: 65536", "part_size: hidden-word"))
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, environment={})
    error = caught.value
    told = "".join(traceback.format_exception(error)) + repr(error.__cause__)
    assert "hidden-word" not in told + repr(error.__context__)
    assert "hidden-word" not in fault_of(write(tmp_path, parameters("secret_key: [hidden-word]")))
    assert "hidden-word" not in fault_of(write(tmp_path, parameters("secret_key: 'hidden-word")))


def test_schema_of_a_driver_accepts_what_the_driver_accepts(tmp_path: Path) -> None:
    schema = json.loads(json.dumps(driver_schema("demo")))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    mapping = load_config(write(tmp_path, FULL), environment={}).to_mapping()
    validator.validate(mapping)
    mapping["storage"]["parameters"]["regoin"] = "x"
    assert not validator.is_valid(mapping)
    assert not validator.is_valid({"storage": {"driver": "other", "parameters": {}}})


@pytest.mark.parametrize("driver", ["inmemory", "filesystem", "demo"])
def test_every_driver_has_a_schema(driver: str) -> None:
    schema = driver_schema(driver)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["storage"]["properties"]["driver"]["const"] == driver


def test_middleware_in_the_wrong_order_is_refused_with_the_right_one(tmp_path: Path) -> None:
    text = (
        "storage:\n  driver: inmemory\n  middleware:\n    - timeout: {}\n"
        "    - limit: {concurrency: 2}\n    - retry:\n"
    )
    fault = fault_of(write(tmp_path, text), {})
    assert "storage.yml:5: storage.middleware.1: 'limit' may not stand inside 'timeout'" in fault
    assert "the right order is retry, limit, timeout" in fault


def test_capability_is_never_widened() -> None:
    source = {"storage": {"driver": "inmemory", "capabilities": {"sign_get": True}}}
    with pytest.raises(ConfigurationError, match=r"storage\.capabilities: .*cannot be widened"):
        open_storage(source)


def test_storage_is_built_unopened_narrowed_and_wrapped() -> None:
    source = {
        "storage": {
            "driver": "inmemory",
            "middleware": [{"prefix": {"prefix": "/below"}}, {"retry": {}}, {"timeout": None}],
            "capabilities": {"copy": False},
        }
    }
    storage = open_storage(source)
    assert storage.driver_name == "inmemory"
    assert not storage.capabilities.copy
    assert storage.capabilities.put_if_absent

    async def use() -> bytes:
        async with storage:
            await storage.put_content("/a", b"data")
            return await storage.get_content("/a")

    assert asyncio.run(use()) == b"data"


def test_mapping_is_taken_as_it_is_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGEDRIVER__STORAGE__PARAMETERS__REGION", "there")
    section = {"driver": "demo", "parameters": {"root_directory": "${HOME}", "tls": None}}
    source = {"storage": section}
    config = load_config({"storage": {**section, "parameters": {"root_directory": "${HOME}"}}})
    assert config.to_mapping()["storage"]["parameters"] == {"root_directory": "${HOME}"}
    before = repr(source)
    fault_of(source)
    assert repr(source) == before


@pytest.mark.parametrize("text", ["12345", "0123", "1e3", "1.10", "yes", "2020-01-01", "0x1f"])
def test_text_that_looks_like_something_else_is_text_where_that_is_wanted(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "storage.yml"
    parameters = f"{{root_directory: {text}, secret_key: {text}, hosts: [{text}]}}"
    path.write_text(f"storage:\n  driver: demo\n  parameters: {parameters}\n")
    found = load_config(path, environment={}).to_mapping(reveal_secrets=True)
    assert found["storage"]["parameters"] == {
        "root_directory": text,
        "secret_key": text,
        "hosts": [text],
    }


def test_number_stays_one_where_text_is_not_all_that_is_taken(tmp_path: Path) -> None:
    class Hidden(SecretStr):
        """Takes anything."""

        @classmethod
        def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
            return core_schema.any_schema()

    class Model(BaseModel):
        either: int | str
        anything: Any
        hidden: Hidden

    path = tmp_path / "some.yml"
    path.write_text("{either: 1, anything: 2, hidden: 3}")
    found: Any = validate_document(Model, read_document(path))
    assert (found.either, found.anything, found.hidden) == (1, 2, 3)
