"""The registry on S3, Google Cloud Storage and Azure: nothing but the driver's key differs.

Google's service is played by a strict fake; see `testsuite/tests/strict_gcs`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from azure.storage.blob import ContainerClient
from storagedriver_registry import create_app
from storagedriver_testsuite.proxy import Proxy

from registry.tests.client import OCI_MANIFEST, Repository, SlowRequest, sha256, sha512, unique_name
from registry.tests.images import Images
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.stores import s3_parameters
from servers.azurite import Azurite
from servers.seaweedfs import SeaweedFS
from servers.strict_gcs import StrictGcs
from storagedriver_core import (
    INTERNAL_COMPONENT,
    ListOptions,
    PathNotFoundError,
    load_config,
    load_plugins,
    open_storage,
)

KIB = 1024
MIB = 1024 * KIB
NAME = "registry-tests"
KEPT = ("/data", "/link", "/media-type", "/upload-key")
LAYERS = (1, 10 * KIB, 3 * MIB, 20 * MIB)
LARGE = os.urandom(21 * MIB + 5)


class Store(NamedTuple):
    """One store.

    Attributes:
        url: Of the store, as clients see it.
        section: The driver's key with its parameters, in distribution's spellings.
        storage: The same store, as the core's own configuration has it.
    """

    url: str
    section: Mapping[str, Any]
    storage: Mapping[str, Any]


def store(driver: str, url: str, parameters: Mapping[str, Any], **others: Any) -> Store:
    """Give a store of its own below the bucket.

    Args:
        driver: The driver.
        url: Of the store.
        parameters: In distribution's spellings.
        others: Parameters that distribution does not have.
    """
    whole = {**parameters, **others, "rootdirectory": f"/{unique_name('root')}"}
    return Store(url, {driver: whole}, {"storage": {"driver": driver, "parameters": whole}})


def make_s3(server: SeaweedFS) -> Store:
    return store("s3", server.url, s3_parameters(server), preset="seaweedfs")


def make_gcs(server: StrictGcs) -> Store:
    server.create_bucket(NAME)
    parameters = {"bucket": NAME, "keyfile": str(server.key_file)}
    return store("gcs", server.url, parameters, endpoint=server.url)


def make_azure(server: Azurite) -> Store:
    with ContainerClient.from_connection_string(server.connection_string, NAME) as container:
        if not container.exists():
            container.create_container()
    parameters = {"accountname": server.account, "accountkey": server.key, "container": NAME}
    return store("azure", server.url, parameters, endpoint=server.url)


MAKERS: Mapping[str, tuple[str, Callable[[Any], Store]]] = {
    "s3": ("seaweedfs", make_s3),
    "gcs": ("strict_gcs", make_gcs),
    "azure": ("azurite", make_azure),
}


@pytest.fixture(scope="module", params=MAKERS)
def cloud(request: pytest.FixtureRequest) -> Store:
    server, make = MAKERS[request.param]
    return make(request.getfixturevalue(server))


@pytest.fixture
def start(cloud: Store, tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers on the store."""
    with ExitStack() as stack:

        def start_one(*, redirects: bool = True) -> ServerProcess:
            settings = {"storage": {"redirect": {"disable": not redirects}}}
            made = our_server(tmp_path, settings, store=cloud.section)
            return stack.enter_context(running(made))

        yield start_one


@pytest.fixture(scope="module")
def shared_server(
    cloud: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server on the store for the tests that need no other."""
    with running(our_server(tmp_path_factory.mktemp("registry"), store=cloud.section)) as server:
        yield server


@pytest.fixture
def repository(shared_server: ServerProcess) -> Iterator[Repository]:
    with client(shared_server) as http:
        yield Repository(http, unique_name())


def client(server: ServerProcess) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=60, follow_redirects=True)


def left_over(cloud: Store) -> list[str]:
    """Give what a store holds besides blobs and links: uploads, sidecars, records."""

    async def look() -> list[str]:
        config, plugins = load_config(cloud.storage), load_plugins()
        driver = plugins.load_factory(plugins.driver(config.driver_name))(config.parameters)
        left: list[str] = []
        await driver.open()
        try:
            # By the driver: sidecars are shown to nobody else.
            for top in ("/docker", f"/{INTERNAL_COMPONENT}"):
                with suppress(PathNotFoundError):
                    async for page in driver.walk(top, ListOptions()):
                        left += [info.path for info in page]
            left = [
                path
                for path in left
                if "_uploads" in path or not (path.endswith(KEPT) or "/_referrers/" in path)
            ]
            if driver.capabilities.list_uploads:
                async for uploads in driver.list_uploads():
                    left += [info.upload.path for info in uploads]
        finally:
            await driver.aclose()
        return left

    return asyncio.run(look())


@pytest.mark.service("skopeo", "umoci")
@pytest.mark.parametrize("redirects", [True, False], ids=["redirects", "no-redirects"])
def test_image_comes_back_with_the_same_digests(
    start: Callable[..., ServerProcess], cloud: Store, images: Images, redirects: bool
) -> None:
    server = start(redirects=redirects)
    image = images.make("image", LAYERS)
    remote = f"docker://{server.host}/skopeo/image:v1"
    images.copy(image, remote)
    back = images.pulled(remote, "back")
    assert images.digest(image) == images.digest(remote) == images.digest(back)
    assert images.layers(image) == images.layers(back)
    images.copy(image, f"docker://{server.host}/skopeo/again:v2", "--format", "v2s2")
    blob = f"{server.url}/v2/skopeo/image/blobs/{images.layers(image)[-1]}"
    response = httpx.get(blob, timeout=60)
    assert response.status_code == (307 if redirects else 200)
    if redirects:
        assert response.headers["location"].startswith(f"{cloud.url}/")
    assert left_over(cloud) == []
    assert server.stop() == 0
    assert server.log == f"serving {server.url}/v2/\n"  # no warning, no error


def test_client_fetches_from_the_store_what_it_wants(repository: Repository, cloud: Store) -> None:
    data = os.urandom(MIB)
    digest = repository.push_blob(data)
    whole = repository.blob(digest)
    assert (whole.status_code, whole.content) == (200, data)
    assert [one.status_code for one in whole.history] == [307]
    assert str(whole.url).startswith(f"{cloud.url}/")
    part = repository.blob(digest, range="bytes=100-199")
    assert (part.status_code, part.content) == (206, data[100:200])
    head = repository.http.head(repository.url(f"blobs/{digest}"))
    assert (head.status_code, head.history) == (200, [])
    assert head.headers["content-length"] == str(len(data))


def test_referrers_are_listed_and_deleted(repository: Repository) -> None:
    digest = repository.push_image("v1")
    subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1}
    pushed = []
    for number in range(3):
        manifest = {**repository.image(), "subject": subject, "artifactType": f"a/{number}"}
        response = repository.push_manifest(manifest, f"sbom-{number}")
        assert response.headers["oci-subject"] == digest
        pushed.append(response.headers["docker-content-digest"])

    def listed(query: str = "") -> list[str]:
        response = repository.http.get(repository.url(f"referrers/{digest}{query}"))
        assert response.status_code == 200
        return [each["digest"] for each in response.json()["manifests"]]

    assert listed() == sorted(pushed)
    assert listed("?artifactType=a/1") == [pushed[1]]
    assert repository.http.delete(repository.url(f"manifests/{pushed[1]}")).status_code == 202
    assert listed() == sorted([pushed[0], pushed[2]])
    # The list of tags is not looked at: SeaweedFS lists a directory whose files are deleted.
    assert repository.http.get(repository.url("manifests/sbom-1")).status_code == 404


def test_type_of_a_manifest_that_names_none_is_kept(repository: Repository) -> None:
    url = repository.url("manifests/v1")
    headers = {"content-type": "application/vnd.example.thing+json"}
    assert repository.http.put(url, content=b"{}", headers=headers).status_code == 201
    assert repository.http.get(url).headers["content-type"] == headers["content-type"]


def test_small_push_costs_few_requests(cloud: Store) -> None:
    """POST, PATCH and PUT, as skopeo has it, counted on the wire."""

    async def push() -> list[str]:
        url = urlsplit(cloud.url)
        async with Proxy(f"{url.scheme}://{url.netloc}") as proxy:
            ((driver, parameters),) = cloud.section.items()
            spelt = "regionendpoint" if driver == "s3" else "endpoint"
            storage = open_storage(
                {
                    "storage": {
                        "driver": driver,
                        "parameters": {**parameters, spelt: proxy.url + url.path},
                    }
                }
            )
            async with storage:
                transport = httpx.ASGITransport(create_app({}, storage=storage))
                async with httpx.AsyncClient(transport=transport, base_url="http://r") as http:
                    begun = await http.post("/v2/small/blobs/uploads/")
                    # Whether garbage is collected is looked up once in ten seconds: here.
                    await http.head(f"/v2/small/blobs/{sha256(b'other')}")
                    await proxy.forget()  # the key was made, and a bearer token fetched
                    patched = await http.patch(begun.headers["location"], content=b"small")
                    params = {"digest": sha256(b"small")}
                    done = await http.put(patched.headers["location"], params=params)
                    assert done.status_code == 201, done.text
            return [f"{one.method} {one.path}" for one in await proxy.log()]

    requests = asyncio.run(push())
    # Of PATCH the record, looked for and stored; of PUT the record, the blob, its link, and the
    # record twice: it says that the session is over, and goes.
    assert len(requests) == 7, requests


@pytest.mark.parametrize("digest_of", [sha256, sha512])
def test_large_blob_in_one_stream(
    repository: Repository, cloud: Store, digest_of: Callable[[bytes], str]
) -> None:
    chunks = (LARGE[at : at + MIB] for at in range(0, len(LARGE), MIB))
    location = repository.location(repository.patch(repository.begin(), chunks))
    digest = digest_of(LARGE)
    assert repository.finish(location, digest).status_code == 201
    assert sha256(repository.blob(digest).content) == sha256(LARGE)
    assert left_over(cloud) == []


def test_large_blob_in_one_request(repository: Repository, cloud: Store) -> None:
    digest = repository.push_blob(LARGE)
    assert sha256(repository.blob(digest).content) == sha256(LARGE)
    other, path = LARGE[::-1], repository.url("blobs/uploads/")
    posted = repository.http.post(path, params={"digest": sha256(other)}, content=other)
    assert posted.status_code == 201
    assert sha256(repository.blob(sha256(other)).content) == sha256(other)
    assert left_over(cloud) == []


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 2, 3),
        (1, 4 * MIB, 1),  # held, then more than is held
        (5 * MIB, 3 * MIB, 1, 8 * MIB, 7),
        (8 * MIB, 8 * MIB, 256 * KIB),
    ],
    ids=lambda sizes: "-".join(map(str, sizes)),
)
def test_blob_in_chunks_of_any_size(
    repository: Repository, cloud: Store, sizes: tuple[int, ...]
) -> None:
    location, offset = repository.begin(), 0
    for size in sizes:
        chunk = LARGE[offset : offset + size]
        response = repository.patch(location, chunk, f"{offset}-{offset + size - 1}")
        assert response.status_code == 202
        offset += size
        assert response.headers["range"] == f"0-{offset - 1}"
        location = repository.location(response)
        assert repository.http.get(location).headers["range"] == f"0-{offset - 1}"
    whole = LARGE[: offset + 9]
    finished = repository.finish(location, sha256(whole), whole[offset:])
    assert finished.status_code == 201, finished.text
    assert sha256(repository.blob(sha256(whole)).content) == sha256(whole)
    assert left_over(cloud) == []


@pytest.mark.parametrize("size", [100, 5 * MIB])
def test_cancelled_and_wrong_uploads_leave_nothing(
    repository: Repository, cloud: Store, size: int
) -> None:
    data = LARGE[:size]
    location = repository.location(repository.patch(repository.begin(), data))
    assert repository.http.delete(location).status_code == 204
    location = repository.location(repository.patch(repository.begin(), data))
    assert repository.finish(location, sha256(b"another")).status_code == 400
    assert repository.http.get(location).status_code == 404
    assert left_over(cloud) == []


@pytest.mark.parametrize("size", [100, 3 * MIB], ids=["held", "parts"])
def test_upload_goes_on_after_the_server_was_killed(
    start: Callable[..., ServerProcess], cloud: Store, size: int
) -> None:
    server = start()
    with client(server) as http:
        repository = Repository(http, "killed")
        location = repository.begin()
        for number in range(2):
            response = repository.patch(location, LARGE[number * size : (number + 1) * size])
            assert response.status_code == 202
            location = repository.location(response)
        with SlowRequest("PATCH", location, content_length=size) as third:
            third.send(LARGE[2 * size : 2 * size + size // 2])
            server.kill()
    server.start()
    with client(server) as http:
        repository = Repository(http, "killed")
        status = http.get(location)
        assert status.status_code == 204
        assert status.headers["range"] == f"0-{2 * size - 1}"
        location = repository.location(repository.patch(location, LARGE[2 * size : 3 * size]))
        whole = LARGE[: 4 * size]
        finished = repository.finish(location, sha256(whole), whole[3 * size :])
        assert finished.status_code == 201, finished.text
        assert sha256(repository.blob(sha256(whole)).content) == sha256(whole)
    assert left_over(cloud) == []
