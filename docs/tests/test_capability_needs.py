"""Calls ask for what `docs/capabilities.md` says that they need, and for nothing else."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import inspect
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pages.capabilities import NEEDS, Need
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Capabilities,
    Conditions,
    FileWriter,
    Storage,
    UnsupportedMethodError,
    UploadToken,
)

ROOT = Path(__file__).resolve().parents[2]

CORE = ROOT / "storagedriver_core"

# What a call is given where it must be given something.
GIVEN: Mapping[str, Any] = {
    "path": "/a",
    "source": "/a",
    "target": "/b",
    "data": b"data",
    "ranges": [(0, 1)],
    "algorithm": "md5",
    "older_than": timedelta(0),
}


class Everything(InMemoryDriver):
    """Declares whatever can be declared; what is asked of it here, is refused before."""

    name: ClassVar[str] = "everything"

    @property
    def capabilities(self) -> Capabilities:
        verbs: dict[str, Any] = {
            field.name: True
            for field in dataclasses.fields(Capabilities)
            if field.metadata["narrower"] == "false"
        }
        return dataclasses.replace(super().capabilities, **verbs)


def narrowing(capability: str, need: Need) -> dict[str, Any]:
    nothing: Any = () if capability == "checksum_algorithms" else False
    return {capability: nothing, **need.narrow}


async def call(capability: str, need: Need) -> None:
    """Make the call on a storage without the capability."""
    driver = Everything()
    async with Storage(driver) as whole:
        await whole.put_content("/a", b"data")
        async with await whole.writer("/w") as writer:
            token = await writer.suspend()
    async with Storage(driver, narrow=narrowing(capability, need)) as storage:
        kind, _, name = need.method.partition(".")
        if kind == "FileWriter":
            # Whose digests are lost, as where the library cannot save a state.
            async with await storage.resume(dataclasses.replace(token, hashes={})) as writer:
                await made(writer, name, need.option, token)
        else:
            await made(storage, name, need.option, token)


async def made(
    target: Storage | FileWriter, name: str, option: Mapping[str, Any], token: UploadToken
) -> None:
    method = getattr(target, name)
    needed = [
        one.name
        for one in inspect.signature(method).parameters.values()
        if one.default is one.empty
    ]
    arguments = {one: token if one == "token" else GIVEN[one] for one in needed} | dict(option)
    if arguments.get("conditions") == "given":
        arguments["conditions"] = Conditions(if_match="etag")
    result = method(**arguments)
    if isinstance(result, AsyncGenerator):
        await anext(result)
    else:
        await result


@pytest.mark.parametrize(
    ("capability", "need"),
    [
        pytest.param(name, need, id=f"{name}-{need.method}-{number}")
        for name, needs in NEEDS.items()
        for number, need in enumerate(needs)
    ],
)
def test_call_needs_the_capability(capability: str, need: Need) -> None:
    with pytest.raises(UnsupportedMethodError) as caught:
        asyncio.run(call(capability, need))
    assert caught.value.capability == capability


def test_every_capability_that_the_core_asks_for_is_on_the_page() -> None:
    asked = set()
    for file in CORE.glob("_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                if ast.unparse(node.func).endswith("context.require"):
                    asked.add(ast.unparse(node.args[0]))
                named = (one for one in node.keywords if one.arg in ("verb", "capability"))
                asked |= {ast.unparse(one.value) for one in named}
    # Of the method, and of the copy or move.
    asked -= {"verb", "capability", "f'sign_{method.lower()}'"}
    literal = {ast.literal_eval(text) for text in asked} | {"sign_get", "sign_head", "sign_put"}
    assert literal == set(NEEDS)
