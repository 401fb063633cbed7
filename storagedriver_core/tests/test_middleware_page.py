"""`docs/middleware.md` says of every middleware what it takes, and where it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from storagedriver_core import driver_schema, load_config, load_plugins

PAGE = Path(__file__).resolve().parents[2] / "docs" / "middleware.md"
MIDDLEWARES = {
    name: spec
    for name, spec in load_plugins().middlewares.items()
    if spec.factory.startswith("storagedriver_core.")
}


def section(name: str) -> str:
    """Give the section of a middleware."""
    _, *sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (found,) = [text for text in sections if text.startswith(f"{name}\n")]
    return found


@pytest.mark.parametrize("name", MIDDLEWARES)
def test_every_parameter_is_named_and_the_example_is_right(name: str) -> None:
    text = section(name)
    (example,) = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    (entry,) = yaml.safe_load(example)
    (key,) = entry
    assert key == name
    load_config({"storage": {"driver": "inmemory", "parameters": {}, "middleware": [entry]}})
    fields = MIDDLEWARES[name].parameters.model_fields
    assert [field for field in fields if not re.search(rf"\b{field}\b", text)] == []


def test_ranks_of_the_table_are_those_of_the_middlewares() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\[`.*?) \| (\d+|any) \|", page, re.MULTILINE)
    told = {
        name: None if rank == "any" else int(rank)
        for names, rank in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told == {name: spec.rank for name, spec in MIDDLEWARES.items()}


def test_schema_of_a_driver_has_every_middleware_with_its_parameters() -> None:
    definitions = driver_schema("inmemory")["$defs"]
    entry = definitions["Middleware"]["properties"]
    assert entry.keys() >= MIDDLEWARES.keys()
    for name, spec in MIDDLEWARES.items():
        known = definitions[spec.parameters.__name__]
        assert known["additionalProperties"] is False, name
        for field in spec.parameters.model_fields.values():
            assert field.description, name
