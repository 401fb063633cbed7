"""`storage.tag.concurrencylimit`: how many tags are looked at at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from registry.tests.application import Application, in_memory, run
from registry.tests.client import OCI_MANIFEST, sha256
from storagedriver_core import DriverMiddleware

DATA = b"{}"
DESCRIPTOR = {"mediaType": "x/y", "digest": sha256(DATA), "size": 2}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": DESCRIPTOR, "layers": []}
T = TypeVar("T")


class _Counting(DriverMiddleware):
    """Notes how many reads of tags there are at once, at most."""

    def __init__(self) -> None:
        super().__init__(in_memory())
        self.inside = self.most = 0

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation != "get_content" or "/_manifests/tags/" not in path:
            return await call()
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(0)  # the others come in
            return await call()
        finally:
            self.inside -= 1


@pytest.mark.parametrize(("limit", "most"), [(0, 6), (2, 2)])
def test_tags_of_a_deleted_manifest_are_read_so_many_at_once(limit: int, most: int) -> None:
    counting = _Counting()

    async def delete(application: Application) -> None:
        http = application.http
        await application.push_blob("a", DATA, sha256(DATA))
        for tag in range(6):
            pushed = await http.put(f"/v2/a/manifests/v{tag}", json=MANIFEST)
        counting.most = 0
        gone = await http.delete(f"/v2/a/manifests/{pushed.headers['docker-content-digest']}")
        assert gone.status_code == 202
        assert counting.most == most
        for tag in range(6):
            assert (await http.head(f"/v2/a/manifests/v{tag}")).status_code == 404

    run(delete, on=counting, settings={"tag": {"concurrencylimit": limit}})
