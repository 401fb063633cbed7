"""Digests whose state can be saved, so that a resumed upload reads nothing again.

`hashlib` cannot save a state. libcrypto's `SHA256_CTX` and `SHA512_CTX` are small plain structures,
so they are used through ctypes, but only if it is the very libcrypto that `_hashlib` is linked to
and a save-and-restore vector passes. Otherwise `hashlib` does the work and `state()` is None: the
digest of a resumed upload is then found by reading back what was stored.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import hashlib
import logging
import re
import struct
import sys
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

from storagedriver_core._errors import UnsupportedMethodError
from storagedriver_core._types import Buffer

logger = logging.getLogger(__name__)

INLINE_BYTES = 64 * 1024
"""So many bytes are hashed at once. Measured: a hop to a thread and back costs about 50 µs, which
sha256 needs for as many."""

_STATE_BYTES = {"sha256": 112, "sha512": 216}
"""Sizes of SHA256_CTX and SHA512_CTX. Source: OpenSSL 3, include/openssl/sha.h."""

_DIGEST_BYTES = {"sha256": 32, "sha512": 64}


class Hasher(Protocol):
    """One running digest."""

    def update(self, data: Buffer) -> None:
        """Take the next bytes. Releases the interpreter lock for large ones."""

    def hexdigest(self) -> str:
        """Give the digest so far in lower-case hex."""

    def state(self) -> bytes | None:
        """Give what `new_hasher` needs to go on from here; None where it cannot be saved."""


def new_hasher(algorithm: str, state: bytes | None = None) -> Hasher:
    """Begin a digest, or go on with one from its saved state.

    Raises:
        UnsupportedMethodError: The algorithm is unknown, or `state` cannot be restored here.
    """
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        raise UnsupportedMethodError(f"unknown digest algorithm {algorithm!r}")
    if algorithm in _STATE_BYTES:
        libcrypto = _libcrypto()
        if libcrypto is not None:
            return _SavableHash(libcrypto, algorithm, state)
    if state is not None:
        raise UnsupportedMethodError(f"a saved {algorithm} state cannot be restored here")
    return _PlainHash(algorithm)


class _Updated(Protocol):
    def update(self, data: Buffer, /) -> None: ...


async def update_aside(hasher: _Updated, data: Buffer, executor: Executor | None = None) -> None:
    """Give a digest the next bytes without stopping the event loop for long.

    Args:
        hasher: The digest; one of `hashlib` does as well.
        data: The bytes.
        executor: Where many of them are hashed; None for the event loop's own.
    """
    if memoryview(data).nbytes <= INLINE_BYTES:
        hasher.update(data)
    else:
        await asyncio.get_running_loop().run_in_executor(executor, hasher.update, data)


class _PlainHash:
    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm)
        self.update = self._hash.update
        self.hexdigest = self._hash.hexdigest

    def state(self) -> bytes | None:
        return None


class _SavableHash:
    def __init__(self, libcrypto: Any, algorithm: str, state: bytes | None) -> None:
        prefix = algorithm.upper()
        self._algorithm = algorithm
        self._context = ctypes.create_string_buffer(_STATE_BYTES[algorithm])
        self._update = getattr(libcrypto, f"{prefix}_Update")
        self._final = getattr(libcrypto, f"{prefix}_Final")
        if state is None:
            getattr(libcrypto, f"{prefix}_Init")(self._context)
        else:
            _check_state(algorithm, state)
            ctypes.memmove(self._context, state, len(state))

    def update(self, data: Buffer) -> None:
        # ctypes passes the address of bytes as it is; other buffers have none to give.
        block = data if isinstance(data, bytes) else bytes(data)
        self._update(self._context, block, len(block))

    def hexdigest(self) -> str:
        context = ctypes.create_string_buffer(self._context.raw, len(self._context))
        digest = ctypes.create_string_buffer(_DIGEST_BYTES[self._algorithm])
        self._final(digest, context)
        return digest.raw.hex()

    def state(self) -> bytes | None:
        return self._context.raw


def _check_state(algorithm: str, state: bytes) -> None:
    """Refuse what libcrypto would follow out of the structure's memory.

    ```text
    chaining value | bits so far, low word first | block | bytes in the block | bytes of the digest
    ```

    Raises:
        UnsupportedMethodError: It is no state of this algorithm.
    """
    if len(state) == _STATE_BYTES[algorithm]:
        digest = _DIGEST_BYTES[algorithm]
        word, block = digest // 8, digest * 2
        bits = int.from_bytes(state[digest : digest + word], sys.byteorder)
        in_block, digest_bytes = struct.unpack_from("=II", state, digest + 2 * word + block)
        if digest_bytes == digest and in_block == bits // 8 % block:
            return
    raise UnsupportedMethodError(f"not a saved {algorithm} state")


@functools.cache
def _libcrypto() -> Any | None:
    """Give the libcrypto that `_hashlib` is linked to, if its states can be saved."""
    try:
        import _hashlib  # noqa: F401  # maps libcrypto, so that it shows in the list of mappings

        mappings = Path("/proc/self/maps").read_text()
        found = re.search(r"(/\S*libcrypto\.so\.3\S*)$", mappings, re.MULTILINE)
        if found is None:
            raise OSError("no libcrypto 3 is mapped")
        library = ctypes.CDLL(found[1])
        for algorithm in _STATE_BYTES:
            prefix = algorithm.upper()
            getattr(library, f"{prefix}_Init").argtypes = [ctypes.c_void_p]
            update = getattr(library, f"{prefix}_Update")
            update.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
            getattr(library, f"{prefix}_Final").argtypes = [ctypes.c_void_p, ctypes.c_void_p]
            _check_vector(library, algorithm)
    except (ImportError, OSError, AttributeError, AssertionError) as error:
        logger.warning("resumed uploads are read back for their digest: %s", error)
        return None
    return library


def _check_vector(library: Any, algorithm: str) -> None:
    """Save and restore in the middle of a block, and compare with hashlib."""
    first = _SavableHash(library, algorithm, None)
    first.update(b"a" * 1000)
    second = _SavableHash(library, algorithm, first.state())
    second.update(memoryview(b"b" * 77))
    if second.hexdigest() != hashlib.new(algorithm, b"a" * 1000 + b"b" * 77).hexdigest():
        raise AssertionError(f"a saved {algorithm} state does not restore")
