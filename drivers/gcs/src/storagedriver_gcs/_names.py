"""Paths, and the names of objects: `/a/b` below the root `r` is the object `r/a/b`.

```text
<root_directory>/
    a/b                            what callers store
    .storagedriver/uploads/<id>    an upload that is complete and about to be published
    .storagedriver/tails/…         bytes of suspended uploads, by the portable layer
```
"""

from __future__ import annotations

from storagedriver_core import INTERNAL_COMPONENT, child_prefix

MAX_NAME_BYTES = 1024
STAGING = f"/{INTERNAL_COMPONENT}/uploads"


class Names:
    """The translation, for one root.

    Args:
        prefix: What every name begins with: empty, or with a slash at the end.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._skip = len(prefix)

    @property
    def max_path_bytes(self) -> int:
        """Greatest length of a path."""
        return MAX_NAME_BYTES - len(self.prefix.encode()) + 1

    def name(self, path: str) -> str:
        """Give the object's name."""
        return f"{self.prefix}{path[1:]}"

    def below(self, path: str) -> str:
        """Give what the names of everything below a directory begin with."""
        return f"{self.prefix}{child_prefix(path)[1:]}"

    def path(self, name: str) -> str:
        """Give the path of an object; of a prefix that ends with a slash, with that slash."""
        return f"/{name[self._skip :]}"

    def staging(self, upload_id: str) -> str:
        """Give the name under which an upload is completed."""
        return self.name(f"{STAGING}/{upload_id}")
