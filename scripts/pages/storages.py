"""`docs/storage-configuration.md`, from the models of drivers and middlewares."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from pages.models import Key, in_units, keys
from pages.plugins import own_plugins
from pages.text import code, listed, note, prose, summary, table
from storagedriver_core import DEFAULT_PART_SIZE

_HEAD = f"""\
{note("the pydantic models that drivers and middlewares register")}

# Every key of a storage's configuration

How the file is found and read, and how one key is overridden, is in
[Configuration](configuration.md); which middleware does what, in [Middleware](middleware.md).
`storagedriver config schema DRIVER` prints what is here as a JSON schema.

Each key has an environment variable, in capitals and with two underscores between levels:
`parameters.root_directory` is `STORAGEDRIVER__STORAGE__PARAMETERS__ROOT_DIRECTORY`. Where no
default is named, nothing is set. Sizes are bytes. A *secret* shows in no output, and is read from
a file if it is written as `file:/run/secrets/key`. Spellings in the column *also* are
docker/distribution's.

## The section
"""

_SECTION = (
    ("`driver`", "name", "required", "One of the [drivers](#drivers) that are installed."),
    ("`parameters`", "mapping", "", "What the driver takes: see there."),
    (
        "`middleware`",
        "list of mappings",
        "",
        "[Middlewares](#middlewares), the outermost first. Each item has one name, and below it "
        "what that one takes.",
    ),
    ("`capabilities`", "mapping", "", "[Capabilities](capabilities.md) to narrow."),
    (
        "`part_size`",
        "whole number, at least 1",
        f"`{DEFAULT_PART_SIZE}`{in_units(DEFAULT_PART_SIZE)}",
        "Bytes of a part of an upload, where the store's limits allow.",
    ),
)


def page() -> str:
    """Give the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    plugins = own_plugins()
    yield _HEAD
    yield from table(("key", "takes", "default", "meaning"), _SECTION)
    yield "## Drivers\n"
    for name, driver in sorted(plugins.drivers.items()):
        yield f"### `{name}`\n\n{driver.summary}. {prose(driver.parameters)}\n"
        yield from _table(driver.parameters)
    yield "## Middlewares\n"
    for name, middleware in sorted(plugins.middlewares.items()):
        rank = "stands anywhere" if middleware.rank is None else f"rank {middleware.rank}"
        yield f"### `{name}`\n\n{middleware.summary} ([more](middleware.md#{name}); {rank}).\n"
        yield from _table(middleware.parameters)


def _table(model: type[BaseModel]) -> Iterator[str]:
    found = list(keys(model))
    if found:
        yield from table(("key", "also", "takes", "default", "meaning"), map(_row, found))
    elif "none" in summary(model):
        yield "It takes no parameters.\n"


def _row(key: Key) -> tuple[str, ...]:
    return code(key.name), listed(key.also), key.takes, key.default, key.meaning
