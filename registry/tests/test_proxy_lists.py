"""Lists of an upstream that is too slow."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Message, Request
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import compute_digest
from storagedriver_registry.proxy.errors import UpstreamDownError, UpstreamError, UpstreamSlowError
from storagedriver_registry.proxy.lists import ProxiedLists
from storagedriver_registry.storage import make_stores

from registry.tests.application import in_memory
from registry.tests.upstreams import ScriptedUpstream
from storagedriver_core import Storage


class Failing(ScriptedUpstream):
    """An upstream that gives no tags."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__()
        self.error = error

    async def tags(self, name: str) -> list[str]:
        raise self.error


async def receive() -> Message:
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "status"), [(UpstreamDownError("down"), 200), (UpstreamSlowError("slow"), 503)]
)
def test_part_of_the_tags_is_not_given_for_a_list_that_takes_too_long(
    error: UpstreamError, status: int
) -> None:
    async def main() -> None:
        async with Storage(in_memory()) as storage:
            stores = make_stores(storage)
            await stores.tags.put("a", "v1", compute_digest(b""))
            services = cast(Services, SimpleNamespace(stores=stores, most_tags=None))
            request = Request(
                {"method": "GET", "headers": [], "query_string": b""}, receive, "/", ""
            )
            request.name = "a"
            try:
                found = (await ProxiedLists(Failing(error)).tags(services, request)).status
            except ApiError as failure:
                found = failure.status
            assert found == status

    asyncio.run(main())
