"""`docs/examples/fastapi`, served by a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from registry.tests.client import Repository
from registry.tests.images import Images
from registry.tests.processes import ServerProcess, free_port, running
from registry.tests.serving import eventually
from storagedriver_core import open_storage

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "fastapi"
GRANIAN = str(Path(sys.executable).with_name("granian"))
MIB = 1024 * 1024
_SECONDS = 60


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run it as its page says, on a directory of this test's."""
    folder = tmp_path_factory.mktemp("fastapi")
    config = (EXAMPLE / "storage.yml").read_text()
    assert "root_directory: data" in config
    (folder / "storage.yml").write_text(
        config.replace("root_directory: data", f"root_directory: {folder / 'data'}")
    )
    (folder / "registry.yml").write_text(
        (EXAMPLE / "registry.yml").read_text()
        + "  maintenance: { uploadpurging: { enabled: true, age: 168h, interval: 1s } }\n"
    )
    port = free_port()
    address = ["--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "PYTHONPATH": str(EXAMPLE),
        "STORAGEDRIVER_CONFIG": str(folder / "storage.yml"),
        "REGISTRY_CONFIGURATION_PATH": str(folder / "registry.yml"),
        "PYTHONWARNINGS": "error",
    }
    server = ServerProcess(
        [GRANIAN, "--interface", "asgi", *address, "app:app"],
        *(port, folder / "data", folder / "log"),
        environment=environment,
    )
    with running(server):
        yield server
    assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def http(example: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=example.url, timeout=_SECONDS) as client:
        yield client


def uploads_in_progress(example: ServerProcess) -> int:
    """Look from outside."""

    async def count() -> int:
        parameters = {"root_directory": str(example.data)}
        config = {"storage": {"driver": "filesystem", "parameters": parameters}}
        async with open_storage(config) as storage:
            return len([one async for one in storage.list_uploads()])

    return asyncio.run(count())


def test_what_is_uploaded_is_downloaded_whole_and_in_parts(http: httpx.Client) -> None:
    data = os.urandom(3 * MIB + 17)
    stored = http.put("/files/a/b.bin", content=data)
    assert (stored.status_code, stored.json()) == (201, {"path": "/a/b.bin", "size": len(data)})
    whole = http.get("/files/a/b.bin")
    assert whole.content == data
    assert whole.headers["accept-ranges"] == "bytes"
    said = http.head("/files/a/b.bin")
    for name in ("content-length", "etag", "last-modified"):
        assert said.headers[name] == whole.headers[name]
    size = len(data)
    for asked, start, end in (
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, size),
        ("bytes=-17", size - 17, size),
        (f"bytes=5-{10 * size}", 5, size),
    ):
        part = http.get("/files/a/b.bin", headers={"range": asked})
        assert part.status_code == 206, asked
        assert part.content == data[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for asked in (f"bytes={size}-", "bytes=-0", "bytes=7-3"):
        assert http.get("/files/a/b.bin", headers={"range": asked}).status_code == 416, asked
    for asked in ("bytes=-", "bytes=1-2,5-6", "lines=1-2"):
        assert http.get("/files/a/b.bin", headers={"range": asked}).content == data, asked


def test_body_of_unknown_length_is_stored(http: httpx.Client) -> None:
    assert http.put("/files/chunked", content=iter([b"one", b"two"])).status_code == 201
    assert http.get("/files/chunked").content == b"onetwo"


def test_errors_have_the_status_of_their_type(http: httpx.Client) -> None:
    http.put("/files/there", content=b"1").raise_for_status()
    again = http.put("/files/there", content=b"2", headers={"if-none-match": "*"})
    assert again.status_code == 412
    assert http.get("/files/there").content == b"1"
    assert http.get("/files/nothing").status_code == 404
    assert http.head("/files/nothing").status_code == 404
    assert http.get("/files/a//b").status_code == 400
    assert http.put("/files/there/below", content=b"").status_code == 409
    assert http.delete("/files/there").status_code == 204
    assert http.delete("/files/there").status_code == 404


def test_files_are_listed_and_the_registry_s_are_not(http: httpx.Client) -> None:
    Repository(http, "listed/app").push_image("v1")
    for name in ("x/1", "x/2", "x/3"):
        http.put(f"/files/{name}", content=name.encode()).raise_for_status()
    listed = http.get("/files").json()
    assert listed["next"] is None
    assert {"/x/1", "/x/2", "/x/3"} <= {one["path"] for one in listed["files"]}
    assert not any("docker" in one["path"] for one in listed["files"])
    rest = http.get("/files", params={"after": "/x/2"}).json()["files"]
    assert rest == [one for one in listed["files"] if one["path"] > "/x/2"]


def test_listing_comes_in_pages(http: httpx.Client, example: ServerProcess) -> None:
    folder = example.data / "files" / "many"
    folder.mkdir(parents=True)
    # By the back door, which does not wait for the disk.
    for number in range(1001):
        (folder / f"{number:04}").write_bytes(b"1")
    first = http.get("/files", params={"after": "/many"}).json()
    assert len(first["files"]) == 1000
    rest = http.get("/files", params={"after": first["next"]}).json()
    paths = [one["path"] for one in (*first["files"], *rest["files"])]
    assert paths[:1001] == [f"/many/{number:04}" for number in range(1001)]
    assert rest["next"] is None
    shutil.rmtree(folder)


def test_fault_of_the_store_is_told_to_the_log_alone(
    http: httpx.Client, example: ServerProcess
) -> None:
    http.put("/files/beside", content=b"").raise_for_status()
    (example.data / "files" / "link").symlink_to("beside")
    answer = http.get("/files/link")
    assert (answer.status_code, answer.json()) == (500, {"detail": "the store does not answer"})
    assert "/files/link: symbolic links are not followed" in example.log


def test_a_client_that_goes_away_leaves_nothing(http: httpx.Client, example: ServerProcess) -> None:
    host, port = example.host.split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"PUT /files/half HTTP/1.1\r\nHost: {example.host}\r\nContent-Length: {8 * MIB}\r\n\r\n"
        )
        connection.sendall(head.encode() + bytes(4 * MIB))
        eventually(lambda: uploads_in_progress(example) == 1)
    eventually(lambda: uploads_in_progress(example) == 0)
    assert http.get("/files/half").status_code == 404


def test_a_client_that_stops_reading_leaves_no_file_open(
    http: httpx.Client, example: ServerProcess
) -> None:
    http.put("/files/left", content=iter([bytes(MIB)] * 64)).raise_for_status()
    with http.stream("GET", "/files/left") as answer:
        chunks = answer.iter_bytes()  # kept, for with it the connection would be closed
        next(chunks)
        eventually(lambda: open_files(example))
    eventually(lambda: not open_files(example))


def open_files(example: ServerProcess) -> list[str]:
    """Give what the server has open of what it stores."""
    workers = psutil.Process(example.process.pid).children(recursive=True)
    paths = [file.path for worker in workers for file in worker.open_files()]
    return [path for path in paths if path.startswith(f"{example.data}/files/")]


def test_bytes_pass_through_without_being_held(http: httpx.Client, example: ServerProcess) -> None:
    chunk, count = os.urandom(MIB), 192
    workers = psutil.Process(example.process.pid).children(recursive=True)
    before = sum(one.memory_info().rss for one in workers)
    http.put("/files/large", content=iter([chunk] * count)).raise_for_status()
    digest = hashlib.sha256()
    with http.stream("GET", "/files/large") as answer:
        for piece in answer.iter_bytes():
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(chunk * count).digest()
    assert sum(one.memory_info().rss for one in workers) - before < count * MIB // 2
    http.delete("/files/large").raise_for_status()


def test_registry_purges_uploads_that_nobody_finishes(
    http: httpx.Client, example: ServerProcess
) -> None:
    begun = [http.post("/v2/team/app/blobs/uploads/") for _ in range(2)]
    kept, left = (http.patch(one.headers["location"], content=b"few") for one in begun)
    folder = example.data / "docker/registry/v2/repositories/team/app/_uploads"
    session = folder / left.headers["docker-upload-uuid"]
    for file in list(session.rglob("*")):
        os.utime(file, (0, 0))
    eventually(lambda: not session.exists())
    assert http.get(kept.headers["location"]).status_code == 204


@pytest.mark.service("skopeo", "umoci")
def test_registry_beside_the_files_takes_images(example: ServerProcess, images: Images) -> None:
    image = images.make("image", (10, 3_000_000))
    remote = f"docker://{example.host}/team/app:v1"
    images.copy(image, remote)
    assert images.digest(images.pulled(remote, "back")) == images.digest(image)
