"""Digests that can be saved and restored, and states that are none."""

from __future__ import annotations

import asyncio
import hashlib
import struct

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import Storage, UnsupportedMethodError, _hashing, new_hasher

SAVABLE = ["sha256", "sha512"]
DATA = bytes(range(256)) * 2


@pytest.mark.parametrize("algorithm", SAVABLE)
def test_state_restores_at_every_byte(algorithm: str) -> None:
    for cut in range(len(DATA) + 1):
        first = new_hasher(algorithm)
        first.update(DATA[:cut])
        state = first.state()
        assert state is not None
        second = new_hasher(algorithm, state)
        second.update(memoryview(DATA)[cut:])
        assert second.hexdigest() == hashlib.new(algorithm, DATA).hexdigest()
        # Asking for state and digest changed nothing.
        first.update(DATA[cut:])
        assert first.hexdigest() == second.hexdigest()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha3_256", "blake2b"])
def test_other_algorithms_give_their_digest_and_no_state(algorithm: str) -> None:
    hasher = new_hasher(algorithm)
    hasher.update(DATA)
    assert hasher.hexdigest() == hashlib.new(algorithm, DATA).hexdigest()
    assert hasher.state() is None
    with pytest.raises(UnsupportedMethodError):
        new_hasher(algorithm, b"state")


@pytest.mark.parametrize("algorithm", ["", "rot13", "shake_128", "SHA256"])
def test_unknown_algorithms_are_refused(algorithm: str) -> None:
    with pytest.raises(UnsupportedMethodError):
        new_hasher(algorithm)


@pytest.mark.parametrize("algorithm", SAVABLE)
@pytest.mark.parametrize("in_block", [1, 63, 64, 127, 128, 2**31, 2**32 - 1])
def test_forged_state_never_reaches_libcrypto(algorithm: str, in_block: int) -> None:
    """The count of bytes in the block is an index that libcrypto writes at, unchecked."""
    state = new_hasher(algorithm).state()
    assert state is not None
    digest_bytes = hashlib.new(algorithm).digest_size
    for tail in (struct.pack("=II", in_block, digest_bytes), struct.pack("=II", 0, 255)):
        with pytest.raises(UnsupportedMethodError):
            new_hasher(algorithm, state[:-8] + tail)
    for forged in (b"", state[:-1], state + b"\0"):
        with pytest.raises(UnsupportedMethodError):
            new_hasher(algorithm, forged)


def test_without_libcrypto_a_resumed_upload_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with Storage(InMemoryDriver()) as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA[:100])
            # Saved where it can be, resumed where it cannot.
            token = await writer.suspend()
            monkeypatch.setattr(_hashing, "_libcrypto", lambda: None)
            writer = await storage.resume(token)
            await writer.write(DATA[100:])
            writer = await storage.resume(await writer.suspend())
            digest = hashlib.sha256(DATA).hexdigest()
            await writer.commit(digest=f"sha256:{digest}")
            assert writer.digests == {"sha256": digest}
            assert [info.path async for info in storage.walk("/")] == ["/a"]

    asyncio.run(run())
