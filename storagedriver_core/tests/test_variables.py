"""`set_by_variable`: names with one underscore between words, matched against known keys."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr

from storagedriver_core import (
    ConfigurationError,
    Document,
    effective_settings,
    set_by_variable,
    validate_document,
)


class Pool(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 1
    max: int = 1
    max_size: int = Field(1, validation_alias=AliasChoices("max_size", "maxsize"))


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pool: Pool = Pool()
    # Longer than the way to `pool.max`, and another key.
    pool_max: str | None = None
    names: list[str] = []
    pools: tuple[Pool, ...] = ()
    headers: dict[str, list[str]] = {}
    options: dict[str, Any] = {}
    credentials: SecretStr | None = None


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    section: Section = Section()


def given(name: str, value: str, data: Any = None) -> Any:
    document = Document({} if data is None else data)
    assert set_by_variable(document, Model, f"APP_{name}", value, prefix="APP_")
    return document.data["section"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SECTION_POOL_SIZE", "3", {"pool": {"size": "3"}}),
        ("section_pool_size", "3", {"pool": {"size": "3"}}),
        ("SECTION_POOL_MAX_SIZE", "3", {"pool": {"max_size": "3"}}),
        ("SECTION_POOL_MAXSIZE", "3", {"pool": {"maxsize": "3"}}),
        ("SECTION_POOL_MAX", "3", {"pool_max": "3"}),
        ("SECTION_POOL", "{size: 3}", {"pool": {"size": 3}}),
        ("SECTION_NAMES", "[a, b]", {"names": ["a", "b"]}),
        ("SECTION_NAMES_0", "a: b", {"names": ["a: b"]}),
        ("SECTION_POOLS_0_MAX_SIZE", "3", {"pools": [{"max_size": "3"}]}),
        ("SECTION_HEADERS_X-Frame_Options", "[deny]", {"headers": {"x-frame_options": ["deny"]}}),
        ("SECTION_HEADERS_X-Y_0", "deny", {"headers": {"x-y": ["deny"]}}),
        ("SECTION_OPTIONS_MY_KEY", "3", {"options": {"my_key": 3}}),
        ("SECTION_POOL_MAX", "'3'", {"pool_max": "3"}),
        ("SECTION_POOL_MAX", '"3', {"pool_max": '"3'}),
        ("SECTION_POOL_MAX", "0123", {"pool_max": "0123"}),
        ("SECTION_POOL_MAX", "", {"pool_max": None}),
        ("SECTION_POOL_MAX", "''", {"pool_max": ""}),
    ],
)
def test_name_spells_a_key(name: str, value: str, expected: Any) -> None:
    assert given(name, value) == expected


def test_spelling_of_the_document_is_the_one_that_is_set() -> None:
    data = {"section": {"headers": {"X-Frame-Options": ["deny"]}}}
    assert given("SECTION_HEADERS_X_FRAME_OPTIONS_0", "allow", data) == {
        "headers": {"X-Frame-Options": ["allow"]}
    }


def test_keys_of_the_document_are_known_where_any_are_allowed() -> None:
    data = {"section": {"options": {"smtp": {"addr": "a"}, "list": [1]}}}
    assert given("SECTION_OPTIONS_SMTP_ADDR", "b", data)["options"]["smtp"] == {"addr": "b"}
    assert given("SECTION_OPTIONS_SMTP_USER_NAME", "c", data)["options"]["smtp"] == {
        "addr": "b",
        "user_name": "c",
    }
    assert given("SECTION_OPTIONS_LIST_1", "2", data)["options"]["list"] == [1, 2]


def test_mapping_that_the_model_reads_itself_can_be_changed_in_part() -> None:
    data = {"section": {"credentials": {"type": "a", "key": "b"}}}
    assert given("SECTION_CREDENTIALS_KEY", "c", data) == {"credentials": {"type": "a", "key": "c"}}


@pytest.mark.parametrize(
    "name",
    [
        "PORT",
        "SECTION_PORT",
        "SECTION_POOL_SIZE_",
        "SECTION_POOL_SIZE_X",
        "SECTION_NAMES_X",
        "SECTION_NAMES_-1",
        "SECTION_NAMES_0_1",
        "SECTION_CREDENTIALS_KEY",
        "",
        "_",
    ],
)
def test_name_that_spells_no_key_sets_nothing(name: str) -> None:
    document = Document({})
    assert not set_by_variable(document, Model, f"APP_{name}", "1", prefix="APP_")
    assert document.data == {}


def test_index_that_leaves_a_gap_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"APP_SECTION_NAMES_1: .* no item before 1"):
        given("SECTION_NAMES_1", "a")


def test_value_that_is_no_yaml_is_an_error_that_does_not_repeat_it() -> None:
    with pytest.raises(ConfigurationError, match="APP_SECTION_NAMES") as caught:
        given("SECTION_NAMES", "[confidential")
    assert "confidential" not in str(caught.value)


def test_effective_settings_have_origins_and_names() -> None:
    document = Document(
        {"section": {"pool": {"maxsize": 3}}},
        {("section",): "a.yml:1", ("section", "pool", "maxsize"): "a.yml:2"},
        names={("section", "pool"): ("pool",)},
    )
    set_by_variable(document, Model, "APP_SECTION_CREDENTIALS", "confidential", prefix="APP_")
    found = effective_settings(validate_document(Model, document), document)
    listed = {one.key: (one.value, one.origin) for one in found}
    assert listed["pool.max_size"] == (3, "a.yml:2")
    assert listed["pool.size"] == (1, "default")
    assert listed["section.credentials"] == (
        "**********",
        "environment variable APP_SECTION_CREDENTIALS",
    )


def test_message_calls_a_moved_key_what_it_was_given_as() -> None:
    document = Document(
        {"section": {"pool": {"sise": 3}}}, names={("section", "pool"): ("there", "the-pool")}
    )
    with pytest.raises(ConfigurationError, match=r"^there\.the-pool\.sise: unknown key"):
        validate_document(Model, document)


def test_other_spelling_of_the_document_is_replaced() -> None:
    data = {"section": {"pool": {"max_size": 2}}}
    assert given("SECTION_POOL_MAXSIZE", "3", data) == {"pool": {"max_size": "3"}}
