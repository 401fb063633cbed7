"""The child process of `_child`: `python -m storagedriver_testsuite.child`."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import pickle
import sys
from collections.abc import Awaitable, Callable
from typing import Any


def main() -> None:
    """Read the order from standard input and run it."""
    path, target, source, storage, arguments = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    function = _find(target, source)

    def say(value: Any) -> None:
        # One write, so that a kill leaves whole lines.
        os.write(sys.stdout.fileno(), json.dumps(value).encode() + b"\n")

    async def run() -> None:
        async with storage:
            await function(storage, say, *arguments)

    asyncio.run(run())


def _find(target: str, source: str) -> Callable[..., Awaitable[None]]:
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location(module_name, source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    function: Callable[..., Awaitable[None]] = getattr(module, name)
    return function


if __name__ == "__main__":
    main()
