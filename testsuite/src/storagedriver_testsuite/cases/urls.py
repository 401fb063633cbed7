"""Redirect URLs, as a plain HTTP client uses them: U01 to U09."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from storagedriver_core import SignedMethod, UnsupportedMethodError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._plain_http import Reply, fetch

ODD_NAMES = ["a b", "a+b", "a%20b", "a&b=c", "ä", "a'b", "a(b)", "a~b", "a=b;c", "a@b:c", "a,b"]
EXPIRIES = (2, 8, 32)
# How long after its end a URL may still work: clocks differ.
LENIENCE_SECONDS = 10.0


def odd_names(kit: Kit) -> list[str]:
    """Give names that a URL has to escape, where the driver stores such."""
    return ["a-b_c.d"] if kit.capabilities.path_alphabet == "portable" else ODD_NAMES


class UrlCases(CaseGroup):
    """What redirect URLs are good for, and what they are not."""

    @case("U01", needs=("sign_get",))
    async def test_get_url_gives_the_content_to_a_plain_client(self, kit: Kit) -> None:
        data = kit.random_bytes(100_000)
        await kit.seed_many({"/a/x": data, "/a/none": b""})
        for path, content in [("/a/x", data), ("/a/none", b"")]:
            reply = await fetch("GET", await kit.storage.redirect_url(path))
            assert (reply.status, reply.body) == (200, content)
        # It is signed for a name, whether something is there or not.
        missing = await fetch("GET", await kit.storage.redirect_url("/a/missing"))
        assert missing.status == 404
        without = await kit.open(narrow={"sign_get": False})
        with pytest.raises(UnsupportedMethodError) as refused:
            await without.redirect_url("/a/x")
        assert refused.value.capability == "sign_get"

    @case("U02", needs=("sign_head",))
    async def test_head_url_tells_the_size(self, kit: Kit) -> None:
        await kit.seed("/a/x", bytes(12_345))
        reply = await fetch("HEAD", await kit.storage.redirect_url("/a/x", method="HEAD"))
        assert (reply.status, reply.headers["content-length"]) == (200, "12345")
        assert reply.body == b""
        missing = await kit.storage.redirect_url("/a/missing", method="HEAD")
        assert (await fetch("HEAD", missing)).status == 404

    @case("U03", needs=("sign_put",))
    async def test_put_url_stores_what_a_plain_client_sends(self, kit: Kit) -> None:
        data = kit.random_bytes(100_000)
        await kit.seed("/a/old", b"old")
        for path in ["/a/new", "/a/old"]:
            url = await kit.storage.redirect_url(path, method="PUT")
            reply = await self._put(kit, url, data)
            assert reply.is_success, reply
            assert await kit.peek(path) == data
            info = await kit.storage.stat(path)
            assert info.size == len(data)

    @staticmethod
    async def _put(kit: Kit, url: str, data: bytes, content_type: str | None = None) -> Reply:
        headers = dict(kit.harness.signed_put_headers)
        if content_type is not None:
            headers["Content-Type"] = content_type
        return await fetch("PUT", url, body=data, headers=headers)

    @case("U04", needs=("sign_get",))
    async def test_url_without_its_signature_or_for_another_method_is_refused(
        self, kit: Kit
    ) -> None:
        await kit.seed_many({"/a/x": b"content", "/a/y": b"other"})
        url = await kit.storage.redirect_url("/a/x")
        refused = [
            ("GET", urlsplit(url)._replace(query="").geturl()),
            ("GET", url.replace("/a/x", "/a/y", 1)),
            ("DELETE", url),
            ("PUT", url),
        ]
        if kit.capabilities.sign_put:
            put_url = await kit.storage.redirect_url("/a/x", method="PUT")
            refused += [("DELETE", put_url), ("GET", put_url)]
        for method, wrong in refused:
            reply = await self._try(kit, method, wrong)
            assert 400 <= reply.status < 500, (method, wrong, reply)
            assert b"content" not in reply.body or method != "GET"
        assert (await kit.peek("/a/x"), await kit.peek("/a/y")) == (b"content", b"other")

    async def _try(self, kit: Kit, method: str, url: str) -> Reply:
        if method == "PUT":
            return await self._put(kit, url, b"new")
        return await fetch(method, url)

    @case("U05", needs=("sign_put", "sign_put_with_content_type"))
    async def test_put_url_demands_its_content_type(self, kit: Kit) -> None:
        media_type = "application/vnd.test+json"
        url = await kit.storage.redirect_url("/a/x", method="PUT", content_type=media_type)
        for wrong in ("text/plain", None):
            reply = await self._put(kit, url, b"wrong", wrong)
            assert 400 <= reply.status < 500, (wrong, reply)
        assert not await kit.snapshot("/a")
        assert (await self._put(kit, url, b"right", media_type)).is_success
        assert await kit.peek("/a/x") == b"right"
        if kit.capabilities.put_with_metadata:
            assert (await kit.storage.stat("/a/x")).content_type == media_type

    @case("U07", needs=("sign_get",))
    async def test_url_works_until_it_expires_and_not_much_longer(self, kit: Kit) -> None:
        await kit.seed("/a", b"content")
        lasting = await kit.storage.redirect_url("/a", expires=timedelta(hours=1))
        # The first is long enough, unless this process stands still.
        for seconds in EXPIRIES:
            url = await kit.storage.redirect_url("/a", expires=timedelta(seconds=seconds))
            begun = time.monotonic()
            reply = await fetch("GET", url)
            if reply.status == 200:
                break
            # A service may count whole seconds.
            assert time.monotonic() - begun > seconds - 1.1, reply
        assert (reply.status, reply.body) == (200, b"content")
        while reply.status == 200:
            asked = time.monotonic()
            reply = await fetch("GET", url)
            late = reply.status == 200 and asked - begun > seconds + LENIENCE_SECONDS
            assert not late, "the URL never expires"
            await asyncio.sleep(0.1)
        assert time.monotonic() - begun > seconds - 1.1
        assert 400 <= reply.status < 500
        assert (await fetch("GET", lasting)).status == 200

    @case("U08", needs=("sign_get",))
    async def test_url_takes_ranges_and_has_odd_names(self, kit: Kit) -> None:
        data = kit.random_bytes(10_000)
        await kit.seed("/a/x", data)
        url = await kit.storage.redirect_url("/a/x")
        for wanted, content in [
            ("bytes=10-19", data[10:20]),
            ("bytes=9990-", data[9990:]),
            ("bytes=-5", data[-5:]),
        ]:
            reply = await fetch("GET", url, headers={"Range": wanted})
            assert (reply.status, reply.body) == (206, content), wanted
        names = odd_names(kit)
        contents = {f"/o/{name}": name.encode() for name in names}
        await kit.seed_many(contents)
        methods: list[SignedMethod] = ["GET"]
        if kit.capabilities.sign_put:
            methods.append("PUT")
        for path, content in contents.items():
            for method in methods:
                odd = await kit.storage.redirect_url(path, method=method)
                if method == "GET":
                    reply = await fetch("GET", odd)
                    assert (reply.status, reply.body) == (200, content), path
                else:
                    assert (await self._put(kit, odd, content + b"2")).is_success, path
                    assert await kit.peek(path) == content + b"2"
        assert set(await kit.snapshot("/o")) == set(contents)

    @case("U09", needs=("sign_get", "harness.public_driver", "harness.upstream_url"))
    async def test_url_of_another_endpoint_is_signed_for_it(self, kit: Kit) -> None:
        proxy = await kit.proxy()
        public = await kit.open(kit.wrapped_driver(kit.harness.public_driver(proxy.url)))
        await kit.seed("/a/x", b"content")
        assert await public.get_content("/a/x") == b"content"
        assert not await proxy.log(), "a request of the driver's own went to the public endpoint"
        url = await public.redirect_url("/a/x")
        assert url.startswith(f"{proxy.url}/")
        reply = await fetch("GET", url)
        assert (reply.status, reply.body) == (200, b"content")
        if kit.capabilities.sign_put:
            url = await public.redirect_url("/a/y", method="PUT")
            assert (await self._put(kit, url, b"new")).is_success
            assert await kit.peek("/a/y") == b"new"
        assert all(entry.status < 300 for entry in await proxy.log())
