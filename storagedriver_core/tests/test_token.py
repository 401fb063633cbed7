"""What a token holds, how small it is, and what is no token."""

from __future__ import annotations

import itertools
import json
import pickle
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagedriver_core import ConfigurationError, Part, Upload, UploadOptions, UploadToken

MIB = 1024 * 1024


def token_of(sizes: Sequence[int], etags: Sequence[str], tail: int = 0) -> UploadToken:
    offsets = list(itertools.accumulate(sizes, initial=0))
    return UploadToken(
        driver_name="somewhere",
        upload=Upload(
            "/a/b",
            "upload-id",
            data={"session": "https://example.com/secret"},
            options=UploadOptions(content_type="text/plain", metadata={"k": "v"}, part_size=7),
        ),
        offset=offsets[-1] + tail,
        part_size=5 * MIB,
        parts=tuple(
            Part(number, offset, size, etag)
            for number, (offset, size, etag) in enumerate(
                zip(offsets, sizes, etags, strict=False), start=1
            )
        ),
        tail="/.storagedriver/tails/x/1" if tail else "",
        hashes={"sha256": bytes(range(112)), "md5": None},
    )


MD5 = st.text("0123456789abcdef", min_size=32, max_size=32)
ETAGS = st.one_of(MD5, MD5.map('"{}"'.format), st.text(max_size=40))


@given(st.lists(st.tuples(st.integers(1, 2**40), ETAGS), max_size=50), st.integers(0, 100))
def test_token_comes_back_from_json_as_it_was(parts: list[tuple[int, str]], tail: int) -> None:
    token = token_of([size for size, _ in parts], [etag for _, etag in parts], tail)
    read = UploadToken.from_json(token.to_json())
    assert read == token
    assert pickle.loads(pickle.dumps(read)) == token


def test_part_costs_at_most_32_bytes_whatever_the_sizes() -> None:
    source = random.Random(1)
    etags = [f'"{source.randbytes(16).hex()}"' for _ in range(10_000)]
    empty = len(token_of([], []).to_json())
    for sizes in (
        [8 * MIB] * 10_000,
        [source.randint(5 * MIB, 256 * MIB - 1) for _ in range(10_000)],
        [5 * MIB << (number // 1000) for number in range(10_000)],
    ):
        assert len(token_of(sizes, etags).to_json()) <= empty + 32 * 10_000
    assert empty < 1024


def test_token_shows_in_no_text() -> None:
    token = token_of([5, 5], ["one", "two"], 3)
    for text in (repr(token), str(token), f"{token}", f"{[token]}", repr(token.upload)):
        assert "secret" not in text
        assert "tails" not in text
    assert "confidential" in repr(token)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "7", '"v"', "{", "[" * 100_000, '{"v": 1}', '{"v": 1, "options": 3}'],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        UploadToken.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": "1"},
        {"offset": -1},
        {"offset": 1e999},
        {"offset": "much"},
        {"offset": 12},  # less than its parts
        {"offset": 14},  # more, and no tail
        {"tail": "/.storagedriver/tails/x/1"},  # and nothing in it
        {"part_size": None},
        {"sizes": "5,5"},
        {"sizes": "5*2,3,1"},
        {"sizes": "5*1000000000000"},
        {"sizes": "5*5,5*-2"},
        {"sizes": "0*2,d"},
        {"sizes": "-5,5,d"},
        {"sizes": "x,y,z"},
        {"sizes": [[2, 5], [1, 3]]},
        {"etags": ".!,b,c"},
        {"hashes": {"sha256": "not base64"}},
        {"hashes": {"sha256": 7}},
        {"hashes": []},
        {"data": {"session": 7}},
        {"data": ["session"]},
        {"options": ["text/plain", {"k": 7}, 7]},
    ],
)
def test_token_that_does_not_add_up_is_refused_without_repeating_it(
    changes: dict[str, Any],
) -> None:
    document = json.loads(token_of([5, 5, 3], ["a", "b", "c"]).to_json())
    with pytest.raises(ConfigurationError) as refused:
        UploadToken.from_json(json.dumps({**document, **changes}))
    assert "secret" not in str(refused.value)
    # Neither does what a log prints of the cause.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_keys_of_later_releases_are_left_alone() -> None:
    token = token_of([5], ["a"])
    document = {**json.loads(token.to_json()), "colour": "red"}
    assert UploadToken.from_json(json.dumps(document)) == token
