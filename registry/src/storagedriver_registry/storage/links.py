"""Link files: a digest as text."""

from __future__ import annotations

from storagedriver_core import PathNotFoundError, Storage, StorageDriverError
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest


async def read_link(storage: Storage, path: str) -> Digest | None:
    """Give the digest that a link points to; None if there is no link.

    Raises:
        StorageDriverError: The file holds no digest.
    """
    try:
        content = await storage.get_content(path)
    except PathNotFoundError:
        return None
    try:
        return parse_digest(content.decode("ascii").strip())
    except (UnicodeDecodeError, InvalidDigestError):
        raise StorageDriverError("the link holds no digest", path=path) from None


async def write_link(storage: Storage, path: str, digest: Digest) -> None:
    """Make or replace a link; durable when it returns."""
    await storage.put_content(path, str(digest).encode())


async def is_file(storage: Storage, path: str) -> bool:
    """Tell whether there is a file."""
    try:
        return not (await storage.stat(path)).is_dir
    except PathNotFoundError:
        return False


async def delete_link(storage: Storage, path: str) -> bool:
    """Delete a link, or a directory of links; False if there was none."""
    try:
        await storage.delete(path)
    except PathNotFoundError:
        return False
    return True
