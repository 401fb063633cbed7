"""Paths to keys and back.

```text
<root directory>/        without it where none is configured
    a/b                  the object of the path /a/b
    .storagedriver/…     sidecars of uploads; no listing of another directory shows them
```

Keys are those of docker/distribution's driver: no slash before the first component.
"""

from __future__ import annotations

from storagedriver_core import INTERNAL_COMPONENT, child_prefix


class Keys:
    """Paths and keys below one root directory.

    Attributes:
        root: What every key begins with: empty, or ending in a slash.
        internal: What the driver's own keys begin with.
    """

    def __init__(self, root_directory: str, max_key_bytes: int) -> None:
        stripped = root_directory.strip("/")
        self.root = f"{stripped}/" if stripped else ""
        self.internal = f"{self.root}{INTERNAL_COMPONENT}/"
        self.max_path_bytes = max_key_bytes - len(self.root.encode()) + 1

    def key(self, path: str) -> str:
        """Give the key of a file."""
        return self.root + path[1:]

    def prefix(self, path: str) -> str:
        """Give what every key below the directory `path` begins with."""
        return self.root + child_prefix(path)[1:]

    def path(self, key: str) -> str:
        """Give the path of a key, or of a prefix with its slash."""
        return "/" + key[len(self.root) :]
