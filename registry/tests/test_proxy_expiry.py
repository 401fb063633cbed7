"""What a proxy has kept for long enough."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import pytest
from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.proxy.expiry import Expired, Expirer
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.storage import Stores, make_stores
from storagedriver_registry.storage.errors import TagUnknownError
from storagedriver_registry.storage.manifests import StoredManifest

from registry.tests.application import Watched
from registry.tests.client import OCI_INDEX, OCI_MANIFEST
from storagedriver_core import Storage, UnavailableError

NAME = "a/b"


class Cache:
    """A cache, and what its server would do."""

    def __init__(self, storage: Storage, driver: Watched) -> None:
        self.storage = storage
        self.driver = driver
        self.stores: Stores = make_stores(storage)
        self.fetched = Fetched(storage)
        self.expirer = Expirer(storage, self.stores, self.fetched, 60.0, 0.0, self._forget)

    async def blob(self, data: bytes, name: str = NAME, *, is_fetched: bool = True) -> Digest:
        digest = compute_digest(data)
        if is_fetched:
            await self.fetched.note_blob(name, digest)
        await self.stores.blobs.put(digest, data)
        await self.stores.blobs.link(name, digest)
        return digest

    async def image(
        self, *layers: Digest, tag: str, name: str = NAME, is_fetched: bool = True
    ) -> Digest:
        described = [{"mediaType": "l/l", "digest": str(layer), "size": 1} for layer in layers]
        config = {"mediaType": "c/c", "digest": str(compute_digest(tag.encode())), "size": 1}
        body = {"config": config, "layers": described}
        return await self._put(OCI_MANIFEST, body, tag, name, is_fetched)

    async def index(self, *members: Digest, tag: str) -> Digest:
        described = [
            {"mediaType": OCI_MANIFEST, "digest": str(member), "size": 1} for member in members
        ]
        return await self._put(OCI_INDEX, {"manifests": described}, tag, NAME, True)

    async def now(self) -> datetime:
        """Give a moment after everything that was stored, and before all that comes."""
        moment = await self.storage.now()
        while True:
            await asyncio.sleep(0.001)
            if await self.storage.now() > moment:
                return moment

    async def has_blob(self, digest: Digest, name: str = NAME) -> bool:
        return await self.stores.blobs.is_linked(name, digest)

    async def has_manifest(self, digest: Digest) -> bool:
        return await self.stores.manifests.exists(NAME, digest)

    async def _put(
        self, kind: str, body: Mapping[str, object], tag: str, name: str, is_fetched: bool
    ) -> Digest:
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, **body}).encode()
        digest = compute_digest(data)
        manifest = StoredManifest(digest, data, kind)
        if is_fetched:
            await self.fetched.note_manifest(name, digest)
        await self.stores.manifests.put(name, manifest, keep_type=False)
        await self.stores.tags.put(name, tag, digest)
        return digest

    async def _forget(self, digest: Digest) -> None:
        pass


def run(test: Callable[[Cache], Awaitable[None]]) -> None:
    async def main() -> None:
        driver = Watched()
        async with Storage(driver) as storage:
            await test(Cache(storage, driver))

    asyncio.run(main())


def test_old_goes_and_new_stays() -> None:
    async def test(cache: Cache) -> None:
        old = await cache.blob(b"old")
        before = await cache.image(old, tag="before")
        limit = await cache.now()
        new = await cache.blob(b"new")
        after = await cache.image(new, tag="after")
        assert await cache.expirer.expire(limit) == Expired(1, 1)
        assert [await cache.has_blob(one) for one in (old, new)] == [False, True]
        assert [await cache.has_manifest(one) for one in (before, after)] == [False, True]
        assert await cache.stores.tags.list(NAME) == ["after"]
        # The bytes are for the collector of garbage.
        assert await cache.stores.blobs.is_stored(old)
        assert await cache.expirer.expire(limit) == Expired(0, 0)
        assert set((await cache.fetched.all())[NAME].blobs) == {new}

    run(test)


def test_what_was_pushed_never_goes() -> None:
    async def test(cache: Cache) -> None:
        pushed = await cache.blob(b"pushed", is_fetched=False)
        fetched = await cache.blob(b"fetched")
        image = await cache.image(pushed, fetched, tag="pushed", is_fetched=False)
        assert await cache.expirer.expire(await cache.now()) == Expired(0, 0)
        assert await cache.has_manifest(image)
        assert await cache.has_blob(pushed)
        assert await cache.has_blob(fetched)

    run(test)


def test_what_was_fetched_anew_stays() -> None:
    async def test(cache: Cache) -> None:
        blob = await cache.blob(b"blob")
        limit = await cache.now()
        await cache.blob(b"blob")
        assert await cache.expirer.expire(limit) == Expired(0, 0)
        assert await cache.has_blob(blob)

    run(test)


def test_blob_that_a_newer_manifest_names_stays() -> None:
    async def test(cache: Cache) -> None:
        shared, single = await cache.blob(b"shared"), await cache.blob(b"single")
        await cache.image(shared, single, tag="before")
        limit = await cache.now()
        await cache.image(shared, tag="after")
        assert await cache.expirer.expire(limit) == Expired(1, 1)
        assert [await cache.has_blob(one) for one in (shared, single)] == [True, False]

    run(test)


def test_blob_that_another_repository_names_goes_where_it_is_old() -> None:
    async def test(cache: Cache) -> None:
        shared = await cache.blob(b"shared")
        await cache.blob(b"shared", "other")
        limit = await cache.now()
        await cache.image(shared, tag="after", name="other")
        assert await cache.expirer.expire(limit) == Expired(0, 1)
        assert not await cache.has_blob(shared)
        assert await cache.has_blob(shared, "other")

    run(test)


def test_member_of_a_newer_index_stays_with_what_it_names() -> None:
    async def test(cache: Cache) -> None:
        layer = await cache.blob(b"layer")
        member = await cache.image(layer, tag="member")
        limit = await cache.now()
        index = await cache.index(member, tag="index")
        assert await cache.expirer.expire(limit) == Expired(0, 0)
        assert await cache.has_blob(layer)
        assert await cache.has_manifest(member)
        assert await cache.expirer.expire(await cache.now()) == Expired(2, 1)
        assert not await cache.has_manifest(index)
        for tag in ("member", "index"):
            with pytest.raises(TagUnknownError):
                await cache.stores.tags.resolve(NAME, tag)

    run(test)


def test_blob_without_a_manifest_goes_as_well() -> None:
    async def test(cache: Cache) -> None:
        blob = await cache.blob(b"blob")
        assert await cache.expirer.expire(await cache.now()) == Expired(0, 1)
        assert not await cache.has_blob(blob)

    run(test)


def test_what_cannot_be_let_go_of_goes_the_next_time() -> None:
    async def test(cache: Cache) -> None:
        blob = await cache.blob(b"blob")
        image = await cache.image(blob, tag="image")
        limit = await cache.now()
        cache.driver.fail("delete", UnavailableError("down"), at="/link")
        with pytest.raises(UnavailableError):
            await cache.expirer.expire(limit)
        assert await cache.has_manifest(image)
        cache.driver.heal()
        assert await cache.expirer.expire(limit) == Expired(1, 1)
        assert (await cache.fetched.all()).get(NAME) is None

    run(test)


def test_note_of_what_is_fetched_anew_while_it_goes_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(cache: Cache) -> None:
        blob = await cache.blob(b"blob")
        limit = await cache.now()
        unlink = cache.stores.blobs.unlink

        async def fetched_anew(name: str, digest: Digest) -> None:
            await unlink(name, digest)
            await cache.blob(b"blob")

        monkeypatch.setattr(cache.stores.blobs, "unlink", fetched_anew)
        assert await cache.expirer.expire(limit) == Expired(0, 1)
        assert set((await cache.fetched.all())[NAME].blobs) == {blob}
        assert await cache.has_blob(blob)

    run(test)
