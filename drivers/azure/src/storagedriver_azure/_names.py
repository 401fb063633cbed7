r"""Names as the service keeps them: blobs for paths, identifiers for metadata keys.

A blob's name is the path without its first `/`, below the root directory. Two things the service
does not keep as they are: it drops the dots at the end of a component, and takes `\` for `/`
(Source: "Naming and referencing containers, blobs, and metadata", "Blob names"; seen by others as
one blob overwriting another). So these are spelt with something else. The spelling can be undone
and keeps the order, for listings come in the order of the service's names:

| in a path | in a name | because |
|---|---|---|
| `\` | `[` and `HIGH` | sorts after every `[x` and before `]` |
| a space after a dot | two spaces | so that one is free for the next row |
| a file's name that ends in `.` | and a space | sorts before every longer name |
| a directory's name that ends in `.` | and `.` and `HIGH` | sorts as `/` after the dot does |

`HIGH` is the last character for private use: no path can hold it, since it is not printable.
"""

from __future__ import annotations

import re

from storagedriver_core import InvalidPathError

HIGH = "\U0010fffd"
MAX_NAME_CHARACTERS = 1024

_UNUSUAL = re.compile(r"\\|\.(?: |/|$)")
_IDENTIFIER_GAP = re.compile(r"-|^[0-9]|_(?=x[0-9a-f]{4})")
_ESCAPED = re.compile(r"_x([0-9a-f]{4})_")


class Names:
    """Blob names below one root directory.

    Attributes:
        root: What every name begins with: empty, or ends with `/`.
    """

    def __init__(self, root_directory: str) -> None:
        components = [part for part in root_directory.split("/") if part]
        self.root = "".join(f"{_spelt(part, is_file=False)}/" for part in components)

    def of_file(self, path: str) -> str:
        """Give the name of the blob that is the file `path`.

        Raises:
            InvalidPathError: The name is longer than the service takes.
        """
        name = path[1:]
        if _UNUSUAL.search(name):
            *directories, last = name.split("/")
            spelt = [_spelt(part, is_file=False) for part in directories]
            name = "/".join([*spelt, _spelt(last, is_file=True)])
        name = self.root + name
        if len(name) > MAX_NAME_CHARACTERS:
            raise InvalidPathError(f"the blob's name has over {MAX_NAME_CHARACTERS} characters")
        return name

    def below(self, path: str) -> str:
        """Give what the names of all blobs below the directory `path` begin with."""
        if path == "/":
            return self.root
        name = path[1:]
        if _UNUSUAL.search(name):
            name = "/".join(_spelt(part, is_file=False) for part in name.split("/"))
        return f"{self.root}{name}/"

    def path(self, name: str) -> str | None:
        """Give the path of a blob, or with a `/` at the end that of a directory.

        None where the name is of something that no path names: a marker of a directory, or what
        others have put below the root.
        """
        inner = name[len(self.root) :]
        if HIGH in inner or ". " in inner:
            *directories, last = inner.split("/")
            plain = [_plain(part, is_file=False) for part in directories]
            inner = "/".join([*plain, _plain(last, is_file=True)])
        if not inner or "//" in inner or inner[0] == "/":
            return None
        return f"/{inner}"


def _spelt(component: str, *, is_file: bool) -> str:
    name = component.replace("\\", f"[{HIGH}").replace(". ", ".  ")
    if not name.endswith("."):
        return name
    return f"{name} " if is_file else f"{name}.{HIGH}"


def _plain(name: str, *, is_file: bool) -> str:
    if is_file and name.endswith(". ") and not name.endswith(".  "):
        name = name[:-1]
    elif not is_file and name.endswith(f".{HIGH}"):
        name = name[:-2]
    return name.replace(".  ", ". ").replace(f"[{HIGH}", "\\")


def metadata_key(key: str) -> str:
    """Spell a metadata key as the C# identifier that the service demands.

    What it may not hold becomes `_x` and four hexadecimal digits and `_`, as `XmlConvert` does.
    """
    return _IDENTIFIER_GAP.sub(lambda found: f"_x{ord(found[0]):04x}_", key)


def plain_metadata_key(name: str) -> str:
    """Give the key that `metadata_key` has spelt."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
