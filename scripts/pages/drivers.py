"""`docs/drivers.md`, from what is kept in `docs/conformance`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from storagedriver_testsuite import DriverSuite

from pages.capabilities import GROUPS
from pages.text import entries, note
from storagedriver_core import Capabilities

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "conformance"

_HEAD = f"""\
{note("docs/conformance/*.json")}

# Drivers

Each is a package of its own. The keyword names it in configurations: `driver: s3` in a `storage`
section, `storage: {{s3: …}}` in a registry's `config.yml`. The README of each says what it can do
and what it costs; all parameters are in [](storage-configuration.md).
"""

_SUITE = """\
## What passes

Each line is one run of the whole [conformance suite](running-the-suite.md) on one server, kept in
`docs/conformance` as it came. A case is *not declared* where it needs a capability that the driver
does not claim, or something of the test's harness that is not offered. A *deviation* is what the
server does otherwise than the contract says: always, so that the case must fail, or at times, so
that it is left out by name. No other case has failed.
"""

_NAMED = """\
## What does not, and why
"""

_CAPABILITIES = """\
## Capabilities

What the driver of each run declares, which is what the suite tests. What they mean is said by
[Capabilities](capabilities.md). A configuration can narrow them.
"""

_YOURS = """\
## Add yours

Any driver can be listed that passes the suite, wherever its package comes from. In an environment
where it is installed:

```console
$ storagedriver conformance box -c box.yml        # or pytest --conformance-report=conformance.json
$ python scripts/conformance_results.py add conformance.json --name box \\
    --readme https://git.example/storagedriver-box
$ python scripts/reference.py drivers.md
```

The first command runs the suite. The second keeps its result as `docs/conformance/box.json`, with
the name of the package and its summary as the plugin tells them. The third writes this page. Send
both files as a change. A result with a failed case is refused; what your server always does
otherwise is named in the `deviations` of your suite, with the reason, and then stands here. To
write a driver, begin with [](writing-a-driver.md).
"""

_UNITS = {"TiB": 1024**4, "GiB": 1024**3, "MiB": 1024**2, "KiB": 1024}


def page() -> str:
    """Give the page."""
    results = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    return "\n".join(lines(sorted(results, key=lambda one: (one["driver"], one["label"]))))


def lines(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give the lines of the page, from what `docs/conformance` has of each run."""
    yield _HEAD
    yield "| keyword | what it is for | package |"
    yield "|---|---|---|"
    for one in {result["driver"]: result for result in results}.values():
        link = one["readme"] if one["readme"].startswith("https://") else _local(one["readme"])
        yield f"| [`{one['driver']}`]({link}) | {one['summary']} | {one['package']} |"
    yield ""
    yield _SUITE
    yield "| driver | passed | not declared | deviations | not run |"
    yield "|---|---|---|---|---|"
    for one in results:
        counts = [len(_cases(one, *outcomes)) for outcomes in (["passed"], ["not_declared"])]
        counts += [len(_cases(one, "xfailed", "removed")), len(_not_run(one))]
        yield f"| {one['label']} | {' | '.join(map(str, counts))} |"
    yield ""
    yield _NAMED
    for one in results:
        yield from _named(one)
    yield _CAPABILITIES
    for group in GROUPS:
        yield f"### {group}\n"
        yield f"| capability | {' | '.join(one['label'] for one in results)} |"
        yield f"|---{'|:-:' * len(results)}|"
        # How long a path may be depends on the root directory: no result has it.
        for name in (one for one in entries(Capabilities, group) if one != "max_path_bytes"):
            told = (_spelt(name, one["capabilities"].get(name)) for one in results)
            yield f"| `{name}` | {' | '.join(told)} |"
        yield ""
    yield _YOURS


def _local(readme: str) -> str:
    return readme.removeprefix("docs/") if readme.startswith("docs/") else f"../{readme}"


def _cases(one: Mapping[str, Any], *outcomes: str) -> dict[str, str]:
    """Give the reason by id for the cases with one of the outcomes."""
    parted = {id: told.partition(": ") for id, told in one["cases"].items()}
    return {id: reason for id, (outcome, _, reason) in parted.items() if outcome in outcomes}


def _not_run(one: Mapping[str, Any]) -> list[str]:
    """Give the ids of the cases that have come to the suite since the run."""
    return sorted(DriverSuite.cases().keys() - one["cases"].keys())


def _named(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {one['label']}\n"
    for outcome, how in (("xfailed", "always"), ("removed", "at times, or left out")):
        for reason, ids in _by_reason(_cases(one, outcome)):
            yield f"- Deviates {how}, {', '.join(ids)}: {reason}"
    for reason, ids in _by_reason(_cases(one, "not_declared")):
        yield f"- {_with_code(reason)}: {', '.join(ids)}"
    if missing := _not_run(one):
        yield f"- Newer than the run: {', '.join(missing)}"
    yield ""


def _by_reason(cases: Mapping[str, str]) -> Sequence[tuple[str, Sequence[str]]]:
    found: dict[str, list[str]] = {}
    for id, reason in cases.items():
        found.setdefault(reason, []).append(id)
    return list(found.items())


def _with_code(reason: str) -> str:
    return re.sub(r"^\S+(?= is not (?:declared|offered))", lambda found: f"`{found[0]}`", reason)


def _spelt(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "no"
    if value is None:
        return "any" if name.startswith("max_") else "no"
    if isinstance(value, int):
        fitting = (unit for unit, size in _UNITS.items() if value >= size and not value % size)
        unit = next(fitting, "") if name != "max_parts" else ""
        return f"{value // _UNITS[unit]:,} {unit}" if unit else f"{value:,}"
    return str(value)
