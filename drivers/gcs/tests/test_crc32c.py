"""Checksums of parts, joined without the bytes."""

from __future__ import annotations

import random

import google_crc32c
import pytest
from storagedriver_gcs._crc32c import crc_of, crc_of_parts, from_etag, to_etag, to_text

from storagedriver_core import Part


@pytest.mark.parametrize("sizes", [[], [0], [1], [5, 0, 7], [262144] * 5 + [17], [1000, 262144]])
def test_checksum_of_parts_is_that_of_the_whole(sizes: list[int]) -> None:
    source = random.Random(1)
    pieces = [source.randbytes(size) for size in sizes]
    parts = []
    for number, piece in enumerate(pieces, start=1):
        parts.append(Part(number, 0, len(piece), to_etag(crc_of([piece]))))
    assert crc_of_parts(parts) == google_crc32c.value(b"".join(pieces))


def test_kinds_of_buffers_make_no_difference() -> None:
    data = random.Random(2).randbytes(3_000_000)
    expected = google_crc32c.value(data)
    view = memoryview(data)
    assert crc_of([data]) == expected
    assert crc_of([bytearray(data[:10]), view[10:2_000_000], data[2_000_000:]]) == expected


def test_spellings() -> None:
    assert to_text(0x12345678) == "EjRWeA=="
    assert all(from_etag(to_etag(crc)) == crc for crc in (0, 1, 0xFFFFFFFF, 0x12345678))
    assert len(to_etag(0xFFFFFFFF)) == 6
    with pytest.raises(ValueError):
        crc_of_parts([Part(1, 0, 1, "")])
