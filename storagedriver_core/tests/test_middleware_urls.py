"""Middlewares that send clients elsewhere: to a server that has the files."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from storagedriver_inmemory import InMemoryDriver

from servers.cloudfront import CloudFront
from servers.static_files import StaticFiles
from storagedriver_core import (
    Capabilities,
    ConfigurationError,
    DriverMiddleware,
    SignedMethod,
    Storage,
    StorageDriver,
    UnsupportedMethodError,
    client_address,
    load_plugins,
    open_storage,
)
from storagedriver_core.middleware import _extras
from storagedriver_core.middleware.cloudfront import CloudFrontMiddleware, CloudFrontParameters
from storagedriver_core.middleware.prefix import PrefixMiddleware, PrefixParameters
from storagedriver_core.middleware.redirect import RedirectMiddleware, RedirectParameters
from storagedriver_core.middleware.rewrite import RewriteMiddleware, RewriteParameters

ODD = "/a/b c%46+d&e=f?g#h'(~)ä;:@,x"


def by_cloudfront(
    cloudfront: CloudFront, driver: StorageDriver, url: str, **options: Any
) -> CloudFrontMiddleware:
    given = {
        "baseurl": url,
        "privatekey": str(cloudfront.key_file),
        "keypairid": cloudfront.key_pair_id,
        **options,
    }
    return CloudFrontMiddleware(driver, CloudFrontParameters(**given))


@pytest.fixture
def cloudfront(tmp_path: Path) -> CloudFront:
    return CloudFront(tmp_path)


class Signing(InMemoryDriver):
    """A store that signs URLs by itself."""

    @property
    def capabilities(self) -> Capabilities:
        return dataclasses.replace(super().capabilities, sign_get=True, sign_put=True)

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        return f"http://store:9/bucket{path}?for={method}&signature=x%2Fy"


def on_disk(folder: Path) -> StorageDriver:
    plugins = load_plugins()
    spec = plugins.driver("filesystem")
    driver: StorageDriver = plugins.load_factory(spec)(spec.parameters(root_directory=folder))
    return driver


@contextmanager
def files(tmp_path: Path, admits: Callable[[str], bool] = lambda url: True) -> Iterator[Any]:
    """Give a directory for a store, and a server of the directory above it."""
    root = tmp_path / "served" / "root"
    root.mkdir(parents=True)
    with StaticFiles(root.parent, admits) as server:
        yield root, server


async def put(storage: Storage, *paths: str) -> None:
    for path in paths:
        await storage.put_content(path, path.encode())


def url_of(driver: StorageDriver, path: str, method: SignedMethod = "GET", **given: Any) -> str:
    async def main() -> str:
        async with Storage(driver) as storage:
            return await storage.redirect_url(path, method=method, **given)

    return asyncio.run(main())


def test_redirect_sends_a_plain_client_to_the_files(tmp_path: Path) -> None:
    async def main(root: Path, server: StaticFiles) -> None:
        parameters = RedirectParameters(base_url=f"{server.url}/root/")
        async with Storage(RedirectMiddleware(on_disk(root), parameters)) as storage:
            await put(storage, "/a/b", ODD)
            for path in ("/a/b", ODD):
                got = httpx.get(await storage.redirect_url(path))
                assert (got.status_code, got.content) == (200, path.encode())
            head = httpx.head(await storage.redirect_url("/a/b", method="HEAD"))
            assert (head.status_code, head.headers["content-length"]) == (200, "4")
            assert httpx.get(await storage.redirect_url("/a/missing")).status_code == 404
            with pytest.raises(UnsupportedMethodError):
                await storage.redirect_url("/a/b", method="PUT")

    with files(tmp_path) as (root, server):
        asyncio.run(main(root, server))


def test_redirect_is_for_what_the_store_has_inside_of_a_prefix(tmp_path: Path) -> None:
    parameters = RedirectParameters(base_url="https://cdn.example:5443")
    inner = RedirectMiddleware(InMemoryDriver(), parameters)
    driver = PrefixMiddleware(inner, PrefixParameters(prefix="/p/q"))
    assert url_of(driver, "/a/b") == "https://cdn.example:5443/p/q/a/b"


def test_urls_to_write_stay_the_drivers_own(cloudfront: CloudFront) -> None:
    store = "http://store:9/bucket/a?for=PUT&signature=x%2Fy"
    redirect = RedirectParameters(base_url="https://cdn.example")
    for driver in (
        RedirectMiddleware(Signing(), redirect),
        RewriteMiddleware(Signing(), RewriteParameters(host="cdn.example")),
        by_cloudfront(cloudfront, Signing(), "https://cdn.example"),
    ):
        assert url_of(driver, "/a", "PUT") == store


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_cloudfront_admits_what_is_signed_and_nothing_else(
    tmp_path: Path, cloudfront: CloudFront, form: PrivateFormat
) -> None:
    cloudfront.write_key(form)

    async def main(root: Path, server: StaticFiles) -> None:
        async with Storage(
            by_cloudfront(cloudfront, on_disk(root), f"{server.url}/root")
        ) as storage:
            await put(storage, "/a/b", "/a/c", ODD)
            for path in ("/a/b", ODD):
                got = httpx.get(await storage.redirect_url(path))
                assert (got.status_code, got.content) == (200, path.encode())
            assert httpx.head(await storage.redirect_url("/a/b", method="HEAD")).is_success
            begun = time.time()
            url = await storage.redirect_url("/a/b")
            expires = int(parse_qs(urlsplit(url).query)["Expires"][0])
            assert begun + 1200 <= expires <= time.time() + 1201
            later = url.replace("Expires=", "Expires=1")
            for other in (url.partition("?")[0], url.replace("/a/b?", "/a/c?"), later):
                assert httpx.get(other).status_code == 403
            past = by_cloudfront(cloudfront, on_disk(root), server.url)
            past._key = cloudfront.key
            assert not cloudfront.admits(past._signed(f"{server.url}/root/a/b", int(time.time())))

    with files(tmp_path, cloudfront.admits) as (root, server):
        asyncio.run(main(root, server))


def test_cloudfront_names_the_object_as_the_bucket_does(cloudfront: CloudFront) -> None:
    class Rooted(DriverMiddleware):
        async def stored_name(self, path: str) -> str:
            return f"root/{await super().stored_name(path)}"

    url = url_of(
        by_cloudfront(cloudfront, Rooted(InMemoryDriver()), "d1.cloudfront.example/"), "/a/b"
    )
    assert url.startswith("https://d1.cloudfront.example/root/a/b?Expires=")
    assert cloudfront.admits(url)


OF_STORES = {
    "filesystem": ({"root_directory": "/r"}, "a/b"),
    "s3": ({"bucket": "bucket", "root_directory": "/r"}, "r/a/b"),
    "gcs": ({"bucket": "b", "root_directory": "/r"}, "r/a/b"),
    "azure": ({"container": "abc", "root_directory": "/r", "account_name": "abc"}, "r/a/b"),
}


@pytest.mark.parametrize("name", OF_STORES)
def test_name_that_a_store_has_is_with_its_root_directory(name: str) -> None:
    given, stored = OF_STORES[name]
    plugins = load_plugins()
    spec = plugins.driver(name)
    driver: StorageDriver = plugins.load_factory(spec)(spec.parameters(**given))
    prefixed = PrefixMiddleware(driver, PrefixParameters(prefix="/p"))
    assert asyncio.run(driver.stored_name("/a/b")) == stored
    assert asyncio.run(prefixed.stored_name("/a/b")) == stored.replace("a/b", "p/a/b")


@pytest.mark.parametrize(("duration", "seconds"), [("1h", 3600), ("90", 90), (30.5, 31)])
def test_duration_of_the_configuration_is_that_of_urls(
    cloudfront: CloudFront, duration: object, seconds: int
) -> None:
    driver = by_cloudfront(cloudfront, InMemoryDriver(), "https://c.example", duration=duration)
    begun = time.time()
    expires = int(parse_qs(urlsplit(url_of(driver, "/a")).query)["Expires"][0])
    assert begun + seconds - 0.5 <= expires <= time.time() + seconds + 1


RANGES = {
    "prefixes": [
        {"ip_prefix": "10.1.0.0/16", "region": "us-east-1", "service": "AMAZON"},
        {"ip_prefix": "10.1.2.0/24", "region": "us-east-1", "service": "S3"},
        {"ip_prefix": "10.9.0.0/16", "region": "eu-west-1", "service": "AMAZON"},
    ],
    "ipv6_prefixes": [{"ipv6_prefix": "fd00:1::/32", "region": "us-east-1", "service": "AMAZON"}],
}


@pytest.mark.parametrize(
    ("options", "at_the_store"),
    [
        ({}, set()),
        ({"ipfilteredby": "aws"}, {"10.1.2.3", "10.1.200.1", "10.9.9.9", "fd00:1::5"}),
        (
            {"ipfilteredby": "AWSRegion", "awsregion": "us-west-1, US-East-1"},
            {"10.1.2.3", "10.1.200.1", "fd00:1::5"},
        ),
    ],
)
def test_clients_at_amazon_go_to_the_store(
    tmp_path: Path, cloudfront: CloudFront, options: dict[str, str], at_the_store: set[str]
) -> None:
    (tmp_path / "ranges.json").write_text(json.dumps(RANGES))

    async def main(server: StaticFiles) -> set[str]:
        driver = by_cloudfront(
            cloudfront,
            Signing(),
            "https://cdn.example",
            iprangesurl=f"{server.url}/ranges.json",
            **options,
        )
        gone = set()
        async with Storage(driver) as storage:
            for address in ("10.1.2.3", "10.1.200.1", "10.9.9.9", "10.2.0.1", "fd00:1::5", "", "x"):
                client_address.set(address)
                if (await storage.redirect_url("/a")).startswith("http://store:9/"):
                    gone.add(address)
        return gone

    with StaticFiles(tmp_path) as server:
        assert asyncio.run(main(server)) == at_the_store
        assert bool(server.asked) == bool(options)


def test_list_of_addresses_is_fetched_again_when_it_is_old(
    tmp_path: Path, cloudfront: CloudFront
) -> None:
    async def main(server: StaticFiles) -> None:
        driver = by_cloudfront(
            cloudfront,
            Signing(),
            "https://cdn.example",
            ipfilteredby="aws",
            updatefrequency="1us",
            iprangesurl=f"{server.url}/ranges.json",
        )
        async with Storage(driver) as storage:
            client_address.set("10.1.2.3")
            assert "cdn.example" in await storage.redirect_url("/a"), "there is no list yet"
            (tmp_path / "ranges.json").write_text(json.dumps(RANGES))
            for _ in range(2000):
                if "cdn.example" not in await storage.redirect_url("/a"):
                    return
                await asyncio.sleep(0.01)
            pytest.fail("the list was not fetched again")

    with StaticFiles(tmp_path) as server:
        asyncio.run(main(server))


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ncut"],
)
def test_what_is_no_answer_with_the_list_is_as_without_it(
    cloudfront: CloudFront, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def main() -> str:
        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            driver = by_cloudfront(
                cloudfront,
                Signing(),
                "https://cdn.example",
                ipfilteredby="aws",
                iprangesurl=f"http://127.0.0.1:{port}/",
            )
            async with Storage(driver) as storage:
                client_address.set("10.1.2.3")
                return await storage.redirect_url("/a")

    with caplog.at_level(logging.WARNING):
        assert "cdn.example" in asyncio.run(main())
    assert "no list of addresses: it is no answer" in caplog.text


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://store:9/bucket/a/b?for=GET&signature=x%2Fy"),
        ({"scheme": "https"}, "https://store:9/bucket/a/b?for=GET&signature=x%2Fy"),
        ({"host": "cdn.example"}, "http://cdn.example/bucket/a/b?for=GET&signature=x%2Fy"),
        ({"trimpathprefix": "/bucket"}, "http://store:9/a/b?for=GET&signature=x%2Fy"),
        ({"trimpathprefix": "/bucket/"}, "http://store:9/a/b?for=GET&signature=x%2Fy"),
        ({"trimpathprefix": "/other"}, "http://store:9/bucket/a/b?for=GET&signature=x%2Fy"),
    ],
)
def test_rewrite_changes_what_it_is_told(given: dict[str, str], url: str) -> None:
    driver = RewriteMiddleware(Signing(), RewriteParameters(**given))
    assert url_of(driver, "/a/b") == url


def test_rewritten_url_is_one_that_a_plain_client_can_follow(tmp_path: Path) -> None:
    async def main(root: Path, server: StaticFiles) -> None:
        inner = RedirectMiddleware(
            on_disk(root), RedirectParameters(base_url="https://nowhere.example/bucket")
        )
        driver = RewriteMiddleware(
            inner,
            RewriteParameters(
                scheme="http", host=urlsplit(server.url).netloc, trim_path_prefix="/bucket"
            ),
        )
        async with Storage(driver) as storage:
            await put(storage, ODD)
            got = httpx.get(await storage.redirect_url(ODD))
            assert (got.status_code, got.content) == (200, ODD.encode())

    root = tmp_path / "root"
    root.mkdir()
    with StaticFiles(root) as server:
        asyncio.run(main(root, server))


def test_rewrite_signs_nothing_where_the_driver_does_not() -> None:
    driver = RewriteMiddleware(InMemoryDriver(), RewriteParameters(host="cdn.example"))
    with pytest.raises(UnsupportedMethodError):
        url_of(driver, "/a")


KEYS = "private_key: {key}, key_pair_id: K"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("redirect: {}", "4: storage.middleware.0.redirect.base_url: required"),
        ("redirect: { baseurl: cdn.example }", "redirect.baseurl: a URL begins with http"),
        ("redirect: { baseurl: 'https://a/?b' }", "neither a query nor a fragment"),
        ("redirect: { base_ulr: x }", "4: storage.middleware.0.redirect.base_ulr: unknown key"),
        ("rewrite: { host: a/b }", "4: storage.middleware.0.rewrite.host: String should match"),
        ("rewrite: { schema: https }", "unknown key 'schema' (did you mean 'scheme'?)"),
        ("cloudfront: { base_url: a.example }", "cloudfront.private_key: required"),
        (
            f"cloudfront: {{ base_url: a.example, {KEYS}, duration: soon }}",
            "4: storage.middleware.0.cloudfront.duration: a duration is like",
        ),
        (
            f"cloudfront: {{ base_url: a.example, {KEYS}, ipfilteredby: all }}",
            "cloudfront.ipfilteredby: Input should be 'none', 'aws' or 'awsregion'",
        ),
        (
            f"cloudfront: {{ base_url: a.example, {KEYS}, ipfilteredby: awsregion }}",
            "the filter 'awsregion' needs at least one region",
        ),
    ],
)
def test_mistake_in_the_options_is_named_with_its_line(
    tmp_path: Path, entry: str, message: str
) -> None:
    file = tmp_path / "storage.yml"
    file.write_text(f"storage:\n  driver: inmemory\n  middleware:\n    - {entry}\n")
    with pytest.raises(ConfigurationError) as caught:
        open_storage(file)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"no key", "cloudfront.pem"),
        ("ec", "is no RSA key"),
        ("locked", "cloudfront.pem"),
    ],
)
def test_key_that_cannot_sign_is_a_configuration_error(
    cloudfront: CloudFront, content: bytes | str | None, message: str
) -> None:
    form = (Encoding.PEM, PrivateFormat.PKCS8)
    if content is None:
        cloudfront.key_file.unlink()
    elif content == "ec":
        key = ec.generate_private_key(ec.SECP256R1())
        cloudfront.key_file.write_bytes(key.private_bytes(*form, NoEncryption()))
    elif content == "locked":
        locked = BestAvailableEncryption(b"x")
        cloudfront.key_file.write_bytes(cloudfront.key.private_bytes(*form, locked))
    else:
        assert isinstance(content, bytes)
        cloudfront.key_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        url_of(by_cloudfront(cloudfront, InMemoryDriver(), "https://a.example"), "/a")


def test_library_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'storagedriver-core\[any\]'"):
        _extras.import_extra("a_library_that_is_not_there", "any")


def test_unopened_middleware_goes_to_another_process(
    tmp_path: Path, cloudfront: CloudFront
) -> None:
    driver = by_cloudfront(cloudfront, on_disk(tmp_path), "https://a.example", ipfilteredby="aws")
    copy = pickle.loads(pickle.dumps(driver))
    assert copy._parameters == driver._parameters


def test_only_urls_to_read_are_a_middlewares_own() -> None:
    with pytest.raises(ConfigurationError, match="sign_put"):
        DriverMiddleware(InMemoryDriver(), own_verbs=["sign_put"])
