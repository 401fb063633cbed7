"""CRC-32C of parts, and of what they are joined to.

The service tells the CRC-32C of every object. Parts keep theirs in the token's ledger, so that a
commit can prove, without reading, that the object is these parts and nobody else's.

The checksum of joined texts is `shift(crc(a), len(b)) ^ crc(b)`, where `shift` by a length is
linear over bits; so it is a table for each byte of the checksum, made once for each length.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Sequence

import google_crc32c

from storagedriver_core import Buffer, Part

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed
_SLICE = 1024 * 1024
_Matrix = tuple[int, ...]
_Tables = tuple[tuple[int, ...], ...]


def crc_of(buffers: Sequence[Buffer]) -> int:
    """Give the checksum of buffers, one after the other."""
    crc = 0
    for buffer in buffers:
        if isinstance(buffer, bytes):
            crc = google_crc32c.extend(crc, buffer)
            continue
        view = memoryview(buffer)
        for start in range(0, view.nbytes, _SLICE):
            # The library takes bytes alone.
            crc = google_crc32c.extend(crc, bytes(view[start : start + _SLICE]))
    return crc


def to_text(crc: int) -> str:
    """Spell a checksum as the service does."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def to_etag(crc: int) -> str:
    """Spell a checksum in the six characters that a ledger keeps."""
    return base64.urlsafe_b64encode(crc.to_bytes(4, "big")).decode().rstrip("=")


def from_etag(etag: str) -> int:
    """Read what `to_etag` gave.

    Raises:
        ValueError: It is none.
    """
    return int.from_bytes(base64.b64decode(f"{etag}==", b"-_", validate=True), "big")


def crc_of_parts(parts: Iterable[Part]) -> int:
    """Give the checksum of the parts' bytes, joined.

    Raises:
        ValueError: A part has no checksum.
    """
    crc = 0
    for part in parts:
        crc = _shift(crc, part.size) ^ from_etag(part.etag)
    return crc


def _shift(crc: int, length: int) -> int:
    low, second, third, high = _tables(length)
    return (
        low[crc & 0xFF] ^ second[crc >> 8 & 0xFF] ^ third[crc >> 16 & 0xFF] ^ high[crc >> 24 & 0xFF]
    )


@functools.lru_cache(maxsize=16)
def _tables(length: int) -> _Tables:
    matrix = _power(length)
    tables = []
    for position in (0, 8, 16, 24):
        table = [0] * 256
        for value in range(1, 256):
            lowest = value & -value
            column = matrix[position + lowest.bit_length() - 1]
            table[value] = table[value ^ lowest] ^ column
        tables.append(tuple(table))
    return tuple(tables)


def _power(length: int) -> _Matrix:
    """Give the matrix that lets `length` zero bytes follow."""
    result: _Matrix = tuple(1 << number for number in range(32))
    for number in range(length.bit_length()):
        if length >> number & 1:
            result = _product(_square(number), result)
    return result


@functools.cache
def _square(number: int) -> _Matrix:
    """Give the matrix that lets `2 ** number` zero bytes follow; for -3, one bit."""
    if number == -3:
        return (_POLYNOMIAL, *(1 << bit for bit in range(31)))
    half = _square(number - 1)
    return _product(half, half)


def _product(first: _Matrix, second: _Matrix) -> _Matrix:
    return tuple(_times(first, column) for column in second)


def _times(matrix: _Matrix, vector: int) -> int:
    total = 0
    for column in matrix:
        if not vector:
            break
        if vector & 1:
            total ^= column
        vector >>= 1
    return total
