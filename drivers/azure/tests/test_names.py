"""Spellings of paths and metadata keys: they can be undone, and keep the order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storagedriver_azure._names import Names, metadata_key, plain_metadata_key

from storagedriver_core import InvalidPathError

NAMES = Names("some/root.")
CHARACTERS = st.sampled_from([*"ab.\\[] -_/!0", "é", "\ufffd", "\U0001f600"])
COMPONENT = st.text(CHARACTERS.filter(lambda each: each != "/"), min_size=1, max_size=6).filter(
    lambda each: each not in (".", "..")
)
PATH = st.lists(COMPONENT, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(PATH)
def test_name_can_be_undone(path: str) -> None:
    assert NAMES.path(NAMES.of_file(path)) == path
    assert NAMES.path(NAMES.below(path)) == f"{path}/"


@given(PATH)
def test_name_has_nothing_that_the_service_changes(path: str) -> None:
    for name in (NAMES.of_file(path), NAMES.below(path)):
        assert "\\" not in name
        assert not re.search(r"\.(?:/|$)", name)


@given(PATH, PATH)
@settings(max_examples=1000)
def test_names_sort_as_paths_do(one: str, other: str) -> None:
    first, second = (NAMES.of_file(path).encode() for path in (one, other))
    assert (first < second) == (one.encode() < other.encode())
    first, second = NAMES.below(one).encode(), NAMES.of_file(other).encode()
    assert (first < second) == (f"{one}/".encode() < other.encode())


def test_what_is_below_a_directory_begins_with_its_name() -> None:
    assert NAMES.of_file("/a./b").startswith(NAMES.below("/a."))
    assert NAMES.of_file("/a\\/b").startswith(NAMES.below("/a\\"))
    assert not NAMES.of_file("/a.b/c").startswith(NAMES.below("/a."))


def test_plain_names_are_as_they_are() -> None:
    names = Names("")
    assert names.of_file("/a/b.c/d") == "a/b.c/d"
    assert names.path("a/b c/é") == "/a/b c/é"
    assert names.path("a//b") is None
    assert names.path("") is None


def test_name_over_the_limit_is_refused() -> None:
    with pytest.raises(InvalidPathError):
        Names("").of_file("/" + "\\" * 600)


@given(st.text(st.sampled_from("ab-_x0295df"), min_size=1, max_size=14))
@settings(max_examples=1000)
def test_metadata_key_is_an_identifier_and_can_be_undone(key: str) -> None:
    name = metadata_key(key)
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", name)
    assert plain_metadata_key(name) == key
