"""`docs/errors.md`, from the classes, and from what turns them into answers and exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from storagedriver_registry import client
from storagedriver_registry.api.errors import to_api_error
from storagedriver_registry.client import RegistryError, ResponseError, transfer
from storagedriver_registry.client import errors as client_errors
from storagedriver_registry.client.commands.failures import EXIT_CODES, exit_code
from storagedriver_registry.client.errors import error_class
from storagedriver_registry.storage import errors as registry_errors

import storagedriver_core
from pages.text import code, docstring, entries, note, prose, summary, table
from storagedriver_core import StorageDriverError, _errors
from storagedriver_core.cli._app import EXIT_CODES as COMMAND_EXIT_CODES
from storagedriver_core.cli._app import exit_code as command_exit_code

_HEAD = f"""\
{note("the error classes, and from what answers and exits with them")}

# Errors

A caller acts on the type of an error and on its attributes, never on its text. Two questions are
answered by every error of a storage: may the same call work later (`temporary`), and has something
changed (`outcome`). No message holds a secret.
"""

_ANSWERS = """\
## What the registry answers

Its clients are told codes, of which [The protocol](protocol.md) has all. What a request asks for in
vain, and what is wrong with it, are errors of the registry's own:
"""

_PASSED = """\
An error of the storage that is none of these passes through, and becomes an answer too. `503` goes
with `Retry-After`; what is not temporary is in the log with its cause, and the client is told as
little as the table says:
"""

_CLIENT = """\
## Errors of the client

They are exported by `storagedriver_registry.client`; `dist` ends with the exit code beside them.
"""

_EXITS = """\
## Exit codes

An error of a storage ends `storagedriver` with 2 if it is a `ConfigurationError`, with 1 if it is
any other, and `dist` as the table above says. `registry` ends with 1 for each.
"""

_TAKERS = (
    storagedriver_core.open_storage,
    storagedriver_core.Storage,
    storagedriver_core.FileReader,
    storagedriver_core.FileWriter,
    storagedriver_core.UploadToken,
    storagedriver_core.transfer,
)


class Mention(NamedTuple):
    """What the docstring of a public function says of an error."""

    function: str
    error: str
    when: str


def page() -> str:
    """Give the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield from _storage()
    yield from _of_registry()
    yield _CLIENT
    yield f"{_tree(client_errors)}\n"
    kinds = list(_kinds(client_errors, RegistryError))
    yield from table(("error", "status", "temporary", "`dist` exits with"), map(_client_row, kinds))
    mentions = list(_mentions(_of_client()))
    for kind in kinds:
        yield from _section(kind, kinds, mentions, "Any request may raise it.")
    yield _EXITS
    yield from _exits("storagedriver", COMMAND_EXIT_CODES)
    yield from _exits("dist", EXIT_CODES)


def _storage() -> Iterator[str]:
    yield "## Errors of a storage\n"
    yield f"They are exported by `storagedriver_core`.\n\n{_tree(_errors)}\n"
    mentions = list(_mentions(_TAKERS))
    kinds = list(_kinds(_errors, StorageDriverError))
    for kind in kinds:
        yield from _section(kind, kinds, mentions, "Any call may raise it.")


def _of_registry() -> Iterator[str]:
    yield _ANSWERS
    kinds = [
        kind
        for kind in _kinds(registry_errors, registry_errors.RegistryError)
        if kind not in (registry_errors.RegistryError, registry_errors.UnknownError)
    ]
    yield from table(("error", "status", "code", "meaning"), map(_answer_row, kinds))
    yield _PASSED
    yield from table(
        ("error", "status", "code", "`storagedriver` exits with", "`dist` exits with"),
        map(_passed_row, _kinds(_errors, StorageDriverError)),
    )


def _tree(module: object) -> str:
    """Give the tree that the module draws."""
    return f"```text\n{docstring(module).split('```text')[1].split('```')[0].strip()}\n```"


def _kinds(module: object, root: type[Exception]) -> Iterator[type[Exception]]:
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, root) and value.__module__ == _name(module):
            yield value


def _name(module: object) -> str:
    return str(getattr(module, "__name__", ""))


def _section(
    kind: type[Exception], kinds: list[type[Exception]], mentions: list[Mention], otherwise: str
) -> Iterator[str]:
    yield f"### `{kind.__name__}`\n"
    traits = ["temporary"] if getattr(kind, "temporary", False) else []
    builtin = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
    if builtin[0] not in ("Exception", "OSError"):
        traits.append(f"also a `{builtin[0]}`")
    remark = f" ({', '.join(traits)})" if traits else ""
    yield f"{prose(kind)}{remark}\n"
    attributes = entries(kind, "Attributes")
    yield from table(("attribute", "meaning"), ((code(k), v) for k, v in attributes.items()))
    own = [one for one in mentions if one.error == kind.__name__]
    if own:
        yield from table(("raised by", "when"), ((code(one.function), one.when) for one in own))
    # Drivers have subclasses of their own, which are loaded or not.
    elif not any(kind in other.__bases__ for other in kinds):
        yield f"{otherwise}\n"


def _mentions(takers: Iterable[object]) -> Iterator[Mention]:
    for taker in takers:
        name = getattr(taker, "__name__", "")
        members: dict[str, object] = {name: taker}
        if inspect.isclass(taker):
            members |= {
                f"{name}.{member}": value
                for member, value in vars(taker).items()
                if not member.startswith("_")
            }
        for function, value in members.items():
            thing = getattr(value, "__func__", value)
            for error, when in entries(thing, "Raises").items():
                yield Mention(function, error, when)


def _of_client() -> list[object]:
    found = [getattr(client, name) for name in client.__all__]
    classes = [one for one in found if not (inspect.isclass(one) and issubclass(one, Exception))]
    return [*classes, transfer.copy]


def _client_row(kind: type[Exception]) -> tuple[str, ...]:
    statuses = [str(one) for one in range(400, 600) if error_class(one, "") is kind]
    said = ", ".join(statuses)
    if len(statuses) > 9:
        said = f"any other {statuses[0][0]}xx"
    temporary = "yes" if getattr(kind, "temporary", False) else ""
    error = kind()
    if isinstance(error, ResponseError):
        error.status = int(statuses[0])
    return code(kind.__name__), said, temporary, str(exit_code(error))


def _answer_row(kind: type[Exception]) -> tuple[str, ...]:
    error = kind("it") if issubclass(kind, registry_errors.UnknownError) else kind()
    answer = to_api_error(error)
    return code(kind.__name__), str(answer.status), code(answer.code.value), summary(kind)


def _passed_row(kind: type[Exception]) -> tuple[str, ...]:
    answer = to_api_error(kind())
    exits = str(command_exit_code(kind())), str(exit_code(kind()))
    return code(kind.__name__), str(answer.status), code(answer.code.value), *exits


def _exits(program: str, text: str) -> Iterator[str]:
    """Give the table of a sentence such as `Exit codes: 0 done; 1 failed.`."""
    _, _, codes = text.partition("Exit codes: ")
    rows = [part.strip().partition(" ") for part in codes.rstrip(".").split(";")]
    yield f"### `{program}`\n"
    yield from table(("code", "meaning"), ((number, meaning) for number, _, meaning in rows))
