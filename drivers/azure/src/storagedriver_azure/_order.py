"""Byte order, whatever order the service lists supplementary characters in.

The contract's order is that of UTF-8. The service may order by strings whose units are those of
UTF-16, as its emulator does: there a character above U+FFFF (an emoji, a rare Han character) comes
before those from U+E000 to U+FFFF. The two orders differ by nothing else. So entries are passed on
as they come until one holds such a character; from there, all that share what stands before it are
gathered and sorted.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from storagedriver_core import FileInfo

_SUPPLEMENTARY = re.compile("[\U00010000-\U0010ffff]")
_AFTER_SURROGATES = re.compile("[\ue000-\uffff]")


def sort_key(info: FileInfo) -> str:
    """Give what an entry is ordered by: code points order as UTF-8 does."""
    return f"{info.path}/" if info.is_dir else info.path


def start_of(name: str) -> str:
    """Give the last name from which a list holds all that follows `name`, in either order."""
    found = _AFTER_SURROGATES.search(name)
    return name if found is None else name[: found.start()]


async def in_byte_order(
    pages: AsyncGenerator[Sequence[FileInfo], None],
) -> AsyncGenerator[Sequence[FileInfo], None]:
    """Pass pages on in byte order; each is in the service's order, as is their sequence."""
    held: list[FileInfo] = []
    prefix = ""
    async with aclosing(pages):
        async for page in pages:
            if not held and not any(_SUPPLEMENTARY.search(info.path) for info in page):
                yield page
                continue
            ready: list[FileInfo] = []
            for info in page:
                key = sort_key(info)
                if held and not key.startswith(prefix):
                    ready += sorted(held, key=sort_key)
                    held.clear()
                if held:
                    held.append(info)
                elif found := _SUPPLEMENTARY.search(key):
                    prefix = key[: found.start()]
                    held.append(info)
                else:
                    ready.append(info)
            yield ready
    if held:
        yield sorted(held, key=sort_key)
