"""Which paths a driver that takes any character is asked for."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storagedriver_core import Capabilities, InvalidPathError
from storagedriver_core._paths import path_checker

# What the rules say, as one expression.
_ANY = re.compile("(?:/[^/\x00\ud800-\udfff]+)+")

_check = path_checker(Capabilities(path_alphabet="any"))


@given(st.text(st.sampled_from("/ab\x00\n\u00e4\U0001f600\ud800\udfff"), max_size=12))
@example("")
@example("/")
@example("/a/")
@example("/a//b")
@example("a/b")
def test_any_character_but_nul_and_halves_of_pairs(path: str) -> None:
    if _ANY.fullmatch(path):
        _check(path)
    else:
        with pytest.raises(InvalidPathError):
            _check(path)
