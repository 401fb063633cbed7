"""`docs/capabilities.md`, from the class, its users in the core, and the cases of the suite."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from storagedriver_testsuite import DriverSuite
from storagedriver_testsuite._case import case_of

from pages.text import code, entries, note, table
from storagedriver_core import Capabilities

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "contract.md"

GROUPS = {
    "Verbs": "What can be asked for, of `Storage` if nothing else is said. Where a verb is not "
    "declared, what needs it raises `UnsupportedMethodError` before anything is sent. It can be "
    "narrowed to `false`, and `checksum_algorithms` to fewer of them.",
    "Cost": "What a move takes.",
    "Promises": "What may be relied on. No call needs one; the suite tests what is declared. Each "
    "can be narrowed to `false`.",
    "Names": "Which paths can be stored. Others are `InvalidPathError` before anything is sent.",
    "Uploads": "How the parts of an upload have to be. Writers keep to it by themselves.",
    "Limits": "How large things can be. What would pass one is `LimitExceededError` before "
    "anything is sent, unless the meaning says that it goes in parts.",
}
_YES_OR_NO = ("Verbs", "Promises")


class Need(NamedTuple):
    """A call that needs a capability.

    Attributes:
        method: Of `Storage` or `FileWriter`, as `Storage.reader`.
        option: Its parameter that makes the difference, with the value that the test gives.
        remark: When else it is needed, for people.
        narrow: Other capabilities that have to be narrowed for that.
    """

    method: str
    option: Mapping[str, Any] = {}
    remark: str = ""
    narrow: Mapping[str, Any] = {}


_LARGE: dict[str, Any] = {"max_single_copy": 1}
_COPIED: dict[str, Any] = {"move": "server_copy"}
_OVER = "of more than `max_single_copy` bytes"

# docs/tests/test_capability_needs.py makes each of these calls without the capability, and looks in
# the core's code for any that is not here.
NEEDS: Mapping[str, tuple[Need, ...]] = {
    "get_range": (
        Need("Storage.reader", {"offset": 1}),
        Need("Storage.reader", {"length": 1}),
        Need("Storage.reader", {"suffix": 1}),
        Need("Storage.reader", {"concurrency": 2}),
        Need("Storage.read_ranges"),
    ),
    "get_with_conditions": (
        Need("Storage.reader", {"conditions": "given"}),
        Need("Storage.reader", {"concurrency": 2}),
        Need("Storage.stat", {"conditions": "given"}),
    ),
    "put_if_absent": (
        Need("Storage.put_content", {"if_absent": True}),
        Need("FileWriter.commit", {"if_absent": True}),
    ),
    "put_if_match": (Need("Storage.put_content", {"if_match": "etag"}),),
    "put_with_metadata": (
        Need("Storage.put_content", {"content_type": "text/plain"}),
        Need("Storage.put_content", {"metadata": {"a": "b"}}),
        Need("Storage.writer", {"content_type": "text/plain"}),
        Need("Storage.writer", {"metadata": {"a": "b"}}),
    ),
    "copy": (Need("Storage.copy"),),
    "copy_if_absent": (Need("Storage.copy", {"if_absent": True}),),
    "move_if_absent": (
        Need("Storage.move", {"if_absent": True}),
        Need(
            "FileWriter.commit",
            {"to": "/b", "if_absent": True},
            "with `to` and `if_absent`, without `late_target`",
            {"late_target": False},
        ),
    ),
    "copy_part": (
        Need("Storage.copy", {}, _OVER, _LARGE),
        Need(
            "Storage.move",
            {},
            f"{_OVER}, where moves are not atomic",
            {"move": "server_copy", **_LARGE},
        ),
    ),
    "upload": (Need("Storage.writer"), Need("Storage.resume")),
    "list_uploads": (Need("Storage.list_uploads"), Need("Storage.purge_uploads")),
    "walk_with_start_after": (
        Need("Storage.list", {"start_after": "/a"}),
        Need("Storage.walk", {"start_after": "/a"}),
    ),
    "checksum_algorithms": (Need("Storage.checksum"),),
    "sign_get": (Need("Storage.redirect_url", {"method": "GET"}),),
    "sign_head": (Need("Storage.redirect_url", {"method": "HEAD"}),),
    "sign_put": (Need("Storage.redirect_url", {"method": "PUT"}),),
    "sign_put_with_content_type": (
        Need("Storage.redirect_url", {"method": "PUT", "content_type": "text/plain"}),
    ),
    "local_path": (Need("Storage.local_path"),),
    "late_target": (
        Need(
            "FileWriter.commit",
            {"digest": "sha256:" + sha256(b"").hexdigest()},
            "with a digest whose state could not be saved when the writer was suspended",
        ),
    ),
}

_HEAD = f"""\
{note("the class Capabilities, what the core asks of it, and the cases of the suite")}

# Capabilities

What a configured driver can do, promises, and bounds. `Storage.capabilities` has them, and
`storagedriver doctor` shows them; which driver declares which is in [Drivers](drivers.md).
Configuration and middleware can narrow a capability and never widen it, but for middlewares that
send clients to another server: they sign URLs themselves.

```yaml
storage:
  driver: filesystem
  parameters: {{ root_directory: /var/lib/registry }}
  capabilities: {{ put_if_match: false, max_object_size: 10737418240 }}
```

The last column names the cases of [the contract](contract.md) that need the capability or test it.
Driver authors declare what their store has, and nothing more: [](writing-a-driver.md).
"""

_NARROWER = {
    "false": "`false`",
    "true": "`true`",
    "lower": "a lower number",
    "higher": "a higher number",
    "subset": "fewer of them",
    "earlier": "an earlier word",
    "never": "not at all",
}


def page() -> str:
    """Give the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    fields = {field.name: field for field in dataclasses.fields(Capabilities)}
    cases = dict(_cases(list(fields)))
    for group, about in GROUPS.items():
        yield f"## {group}\n\n{about}\n"
        meanings = entries(Capabilities, group)
        head = ["capability", "meaning", "if not declared", "narrowed by", "needed by", "cases"]
        rows = [
            [
                code(name),
                f"{meaning[0].upper()}{meaning[1:]}",
                _default(fields[name]) if group not in _YES_OR_NO else "",
                _NARROWER[fields[name].metadata["narrower"]] if group not in _YES_OR_NO else "",
                _needed(NEEDS.get(name, ())),
                cases[name],
            ]
            for name, meaning in meanings.items()
        ]
        yield from table(head, rows)


def _needed(needs: Sequence[Need]) -> str:
    """Name the calls, each once with all the options of which one is enough."""
    told: dict[str, list[str]] = {}
    for need in needs:
        call = need.method.removeprefix("Storage.")
        if "method" in need.option:
            options = [f'{name}="{value}"' for name, value in need.option.items()]
            call = f"{call}({', '.join(options[:1])})"
        words = told.setdefault(code(call), [])
        if need.remark:
            words.append(need.remark)
        elif extra := [code(name) for name in need.option if name != "method"]:
            words += [f"with {extra[0]}" if not words else extra[0]]
    return "; ".join(f"{call} {' or '.join(words)}".strip() for call, words in told.items())


def _default(field: dataclasses.Field[object]) -> str:
    value = field.default
    if value is None:
        return "no limit"
    if not value:
        return "none" if value == () else ""
    return code(value if isinstance(value, str) else json.dumps(value))


def _cases(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give for each capability the cases that need it, or that the contract names it in."""
    members = (getattr(DriverSuite, name) for name in dir(DriverSuite))
    needs = [case for member in members if (case := case_of(member)) is not None]
    rows = re.findall(r"^\| (\w\d\d) \| (.*) \|$", CONTRACT.read_text("utf-8"), re.MULTILINE)
    for name in names:
        found = {case.id for case in needs if name in case.needs}
        found |= {id for id, rule in rows if f"`{name}`" in rule}
        yield name, _ranges(sorted(found))


def _ranges(ids: Sequence[str]) -> str:
    """Write ids that follow one another as from and to."""
    runs: list[list[str]] = []
    for id in ids:
        if runs and runs[-1][-1][0] == id[0] and int(runs[-1][-1][1:]) + 1 == int(id[1:]):
            runs[-1].append(id)
        else:
            runs.append([id])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)
