"""The pictures in `docs/images`, from texts beside this module and from the code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from storagedriver_testsuite import DriverSuite
from storagedriver_testsuite._case import case_of

from pages.drawing import drawn
from pages.plugins import own_plugins
from storagedriver_core import FileWriter, WriterState

_HERE = Path(__file__).resolve().parent

STORES = {
    "azure": "Azure Blob | Storage",
    "filesystem": "a disk | of this machine",
    "fsspec": "WebDAV | SFTP, and others",
    "gcs": "Google Cloud | Storage",
    "inmemory": "memory | of this process",
    "remote": "a program | in any language",
    "s3": "S3 | and its like",
}
"""Where each driver keeps what it is given; a driver that is not here cannot be drawn."""


class Step(NamedTuple):
    """What a method of a writer does to its state.

    Attributes:
        method: Name of the method.
        after: The state that it leads to; None where it changes none.
    """

    method: str
    after: WriterState | None


def architecture() -> str:
    """Draw the packages, and who calls whom."""
    plugins = own_plugins()
    # A middleware without a rank stands anywhere: at the end.
    order = sorted(
        plugins.middlewares.values(), key=lambda spec: 99 if spec.rank is None else spec.rank
    )
    names = [spec.name for spec in order]
    half = (len(names) + 1) // 2
    cases = [name for name in dir(DriverSuite) if case_of(getattr(DriverSuite, name)) is not None]
    source = _source("architecture").format(
        middlewares_1=" · ".join(names[:half]),
        middlewares_2=" · ".join(names[half:]),
        cases=len(cases),
        drivers="\n".join(_drivers(sorted(plugins.drivers))),
    )
    return drawn(source, _about("architecture.txt"), "From callers through Storage to the stores")


def _drivers(names: Sequence[str]) -> Iterator[str]:
    width = (920 - 10 * len(names)) // (len(names) + 1)
    places = [*((name, STORES[name]) for name in names), ("yours", "any store | that you have")]
    for number, (name, store) in enumerate(places):
        x = 20 + number * (width + 10)
        kind = "main" if name != "yours" else "faint"
        yield f"box {name} {x} 466 {width} 40 {kind}: {name}"
        yield f"box {name}-store {x} 546 {width} 52 store: {store}"
        part = (x + width / 2 - 20) / 680
        yield f"arrow contract.bottom@{min(max(part, 0.02), 0.98):.3f} {name}.top:"
        yield f"arrow {name}.bottom {name}-store.top both:"


def writer_states() -> str:
    """Draw the states of a writer, and which method leads from which to which."""
    source = _source("writer-states").format(arrows="\n".join(_arrows()))
    return drawn(source, _about("writer-states.txt and _writer.py"), "The states of a writer")


def _arrows() -> Iterator[str]:
    stays = [step.method for step in steps() if step.after is None]
    yield f"loop open.top: {', '.join(stays)}"
    ends = [state for state in WriterState if state is not WriterState.OPEN]
    # So that no two cross.
    corners = (330, 370, 390, 360, 330)
    for number, state in enumerate(ends, start=1):
        methods = [step.method for step in steps() if step.after is state]
        label = ", ".join(methods)
        if "aclose" in methods:
            label = "aclose, leaving async with"
        part, corner = number / 6, corners[number - 1]
        yield f"arrow open.right@{part:.3f} {state.value}.left@0.7 via={corner}: {label}"
    yield f"arrow open.right@0.833 lost.left@0.7 dashed via={corners[-1]}:"
    yield "arrow suspended.left@0.2 open.top@0.2 dashed: Storage.resume(token): a new writer"


def steps() -> list[Step]:
    """Read from the code of `FileWriter` what each public method does to the state."""
    (tree,) = ast.parse(inspect.getsource(FileWriter)).body
    assert isinstance(tree, ast.ClassDef)
    found = []
    for function in tree.body:
        if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
            continue
        if function.name.startswith("_") or function.decorator_list:
            continue
        text = ast.unparse(function)
        after = [state for state in WriterState if f"self._end(WriterState.{state.name})" in text]
        found.append(Step(function.name, after[0] if after else None))
    return found


def _source(name: str) -> str:
    return (_HERE / f"{name}.txt").read_text(encoding="utf-8")


def _about(source: str) -> str:
    return f"Written by scripts/reference.py from {source}: change that, and run it."
