"""A configuration, from YAML or a mapping to a `Storage`.

```yaml
storage:
  driver: s3
  parameters: { bucket: layers, region: eu-west-1, secret_key: "file:/run/secrets/key" }
  middleware: [ { retry: { attempts: 5 } }, { limit: { concurrency: 64 } } ]
  capabilities: { put_if_absent: false }
  part_size: 16777216
```

A value comes, in rising order, from the driver's defaults, the file (where `${VAR}` and
`${VAR:-default}` stand for variables and `$$` for a dollar), and a variable such as
`STORAGEDRIVER__STORAGE__PARAMETERS__BUCKET`. A secret `file:PATH` is read from that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from storagedriver_core._document import Document, Key, Setting
from storagedriver_core._storage import Storage

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storagedriver_core._storage_config import StorageConfig

Model = TypeVar("Model", bound="BaseModel")


def open_storage(
    source: str | Path | Mapping[str, Any],
    *,
    section: str = "storage",
    environment: Mapping[str, str] | None = None,
) -> Storage:
    """Make the storage that a configuration describes, unopened: `async with` opens it.

    Reads the file and the secrets that it names, and does no other I/O.

    Args:
        source: Path of a YAML file, or the same as a mapping.
        section: The top-level key to go by. Others are left to whom they belong.
        environment: Variables for `${VAR}` and overrides. By default `os.environ` for a file,
            and none for a mapping, whose strings are then taken as they are.

    Raises:
        ConfigurationError: Something is wrong with it; the message says where and what.
    """
    return load_config(source, section=section, environment=environment).build()


def load_config(
    source: str | Path | Mapping[str, Any] | Document,
    *,
    section: str = "storage",
    environment: Mapping[str, str] | None = None,
) -> StorageConfig:
    """Read and validate a configuration, and build nothing. As `open_storage` otherwise."""
    # Imported here: models cost as much as the whole core, and not everybody reads a configuration.
    from storagedriver_core._loading import load_section

    return load_section(source, section, environment)


def read_document(source: str | Path | Mapping[str, Any]) -> Document:
    """Read a YAML file of whatever configuration; a mapping is taken as it is.

    Raises:
        ConfigurationError: It cannot be read, is not YAML, repeats a key, or has tags.
    """
    from storagedriver_core._loading import make_document

    return make_document(source)


def validate_document(model: type[Model], document: Document) -> Model:
    """Make a model of a document.

    Raises:
        ConfigurationError: A line for each fault: where, which key, and what, with a close match
            of an unknown key. Values are not repeated: they may be secrets.
    """
    from storagedriver_core._loading import validate_part

    return validate_part(model, document, ())


def set_by_variable(
    document: Document, model: type[BaseModel], variable: str, value: str, *, prefix: str
) -> bool:
    """Set the key that the name of a variable spells, words parted by one underscore.

    A key may hold an underscore itself: the name is matched against the keys that are known, the
    longest first. Items of lists go by index, and a mapping of any keys takes the rest of the name,
    in lower case, for one. Where keys can stand below the key, the value is YAML; else it is taken
    as it is, but for quotes around the whole of it. One that is empty is none, as a key without
    a value is.

    Args:
        document: Where to set it.
        model: The keys that are known.
        variable: The whole name, in any case of its letters.
        value: The variable's value.
        prefix: What of the name belongs to no key.

    Returns:
        Whether there is such a key.

    Raises:
        ConfigurationError: The value is no YAML where it has to be, or an index leaves a gap.
    """
    from storagedriver_core._variables import set_by_name

    return set_by_name(document, model, variable, value, prefix)


def effective_settings(values: BaseModel, document: Document, start: Key = ()) -> list[Setting]:
    """Give every value of a validated document, defaults included, and where it comes from.

    Args:
        values: What `validate_document` has made.
        document: Of which.
        start: The key that the values stand below.
    """
    from storagedriver_core._showing import settings

    return settings(values, document, start)


def driver_schema(name: str) -> dict[str, Any]:
    """Give the JSON schema of a configuration file for the driver `name`.

    Raises:
        ConfigurationError: The driver is not installed.
    """
    from storagedriver_core._loading import make_schema

    return make_schema(name)
