"""What the fuzz runs send: names, contents, and what is malformed in every place."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import strategies as st

from registry.tests.client import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    sha256,
    sha512,
)

MOST_MANIFEST_BYTES = 4 * 1024 * 1024


class Content(bytes):
    """Bytes that are shown by how many they are."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


CONTENTS = tuple(map(Content, (b"", b"{}", b"three", bytes(range(256)) * 300)))
NAMES = st.sampled_from(["a", "b/manifests"])
TAGS = st.sampled_from(["v1", "v2", "_", "A.b-c"])
BAD_DIGESTS = ("", "sha256:", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:" + "0" * 63, "é")
BAD_TAGS = (".v1", "-", "t" * 129, "a b", "é")
RANGES = (
    *("bytes=0-", "bytes=0-0", "bytes=-1", "bytes=1-3", "bytes=3-1", "bytes=-0", "bytes=99999-"),
    *("bytes=", "bytes=a-b", "bytes=0-0,2-2", "lines=0-1", "bytes=0-" + "9" * 30, "bytes= 0 - 1"),
)
NUMBERS = st.sampled_from(["0", "1", "2", "1000", "-1", "x", "", "1.5", "9" * 5000])
CHUNK_RANGES = ("none", "right", "http", "ahead", "behind", "long", "short", "junk", "huge")
DIGESTS = ("sha256", "sha512", "other", "malformed", "missing")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([OCI_MANIFEST, OCI_INDEX, 10**400, "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
_FIELDS = ("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "blobs")
_SLOTS = (*_FIELDS, "subject", "annotations", "signatures")
JUNK = st.one_of(
    st.dictionaries(st.sampled_from(_SLOTS), JSON, max_size=5).map(json.dumps).map(str.encode),
    JSON.map(json.dumps).map(str.encode),
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"[" * 100_000,
            b'{"a":' * 900 + b"1" + b"}" * 900,
            b'{"schemaVersion":2,"a":' + b"[" * 400 + b"]" * 400 + b"}",
            b" " * MOST_MANIFEST_BYTES + b"{}",
            b'{"schemaVersion": NaN}',
            '{"mediaType": "a/b"}'.encode("utf-16"),
            b'{"mediaType": "a/b\\r\\nx: y"}',
            b'{"mediaType": "a/\\u00e9"}',
            b"\xef\xbb\xbf{}",
        ]
    ),
)
CONTENT_TYPES = (
    *("", OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "application/json", "text/plain"),
    *(
        "a/b",
        "a",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "a/b; c=d",
        ";",
        "/",
    ),
)

# Anything at all: of a path, its parts; of a query and of headers, what is looked at.
_PART = st.one_of(
    st.sampled_from(
        ["v2", "wild", "a", "_catalog", "_openapi.json", "tags", "list", "manifests", "blobs"]
    ),
    st.sampled_from(
        ["uploads", "referrers", "..", ".", "", "00000000-0000-4000-8000-000000000000"]
    ),
    st.sampled_from(
        [sha256(b""), sha512(b"{}"), "sha256:1", "v1", "%2F", "%00", "%ff%fe", "%C3%A9"]
    ),
    st.binary(max_size=6).map(quote),
)
TARGETS = st.lists(_PART, max_size=6).map("/".join)
WORDS = st.one_of(
    st.text(max_size=8),
    st.sampled_from([sha256(b""), "sha256", "v1", "a", "0", "-1", "%", "a" * 3000]),
)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("n", "last", "digest", "mount", "from", "tag", "_state", "artifactType"),
                *("digest-algorithm", "ns"),
            ]
        ),
        WORDS,
    ),
    max_size=3,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("range", "content-range", "if-range", "if-none-match", "content-type", "accept"),
            *("host", "x-forwarded-host", "x-forwarded-proto", "authorization", "cookie"),
        ]
    ),
    st.one_of(
        st.sampled_from([*RANGES, '"x"', "*", ",", "0-9", "bytes 0-9/*", "application/json"]),
        st.text(
            st.characters(min_codepoint=33, max_codepoint=126) | st.sampled_from("éß"), max_size=9
        ),
    ),
    max_size=3,
)
