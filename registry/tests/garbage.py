"""What the tests of garbage collection share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from storagedriver_registry.digest import Digest, parse_digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.garbage import Collector
from storagedriver_registry.storage.garbage_report import GarbageOptions, GarbageReport

from registry.tests.application import Application, Watched
from registry.tests.client import OCI_INDEX, OCI_MANIFEST, sha256
from storagedriver_core import Storage, StorageDriver, load_plugins

T = TypeVar("T")
Action = Callable[[], Awaitable[None]]

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Interrupted(Watched):
    """Does something else before, after, or instead of a call."""

    def __init__(self, driver: StorageDriver | None = None) -> None:
        super().__init__(driver)
        self._before: dict[tuple[str, str], Action] = {}
        self._after: dict[tuple[str, str], Action] = {}

    def before(self, operation: str, path: str, action: Action) -> None:
        """Do it once, before the operation is called for a path that ends so."""
        self._before[operation, path] = action

    def after(self, operation: str, path: str, action: Action) -> None:
        """Do it once, after that."""
        self._after[operation, path] = action

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        await _act(self._before, operation, path)
        result = await super().around(operation, path, call)
        await _act(self._after, operation, path)
        return result


async def _act(actions: dict[tuple[str, str], Action], operation: str, path: str) -> None:
    for known in [key for key in actions if operation == key[0] and path.endswith(key[1])]:
        await actions.pop(known)()


def descriptor(data: bytes, media_type: str = LAYER) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def image(*layers: bytes, **others: Any) -> bytes:
    """Give a manifest; each layer is what its blob holds."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(b"{}", CONFIG),
        "layers": [descriptor(layer) for layer in layers],
        **others,
    }
    return json.dumps(manifest).encode()


def index(*manifests: bytes) -> bytes:
    members = [descriptor(one, json.loads(one)["mediaType"]) for one in manifests]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": members}).encode()


async def put_manifest(
    one: Application, name: str, manifest: bytes, reference: str = ""
) -> httpx.Response:
    return await one.http.put(
        f"/v2/{name}/manifests/{reference or sha256(manifest)}",
        content=manifest,
        headers={"content-type": json.loads(manifest)["mediaType"]},
    )


async def push(one: Application, name: str, reference: str, *layers: bytes, **others: Any) -> str:
    """Push an image with its blobs, and give its digest."""
    for data in (b"{}", *layers):
        await one.push_blob(name, data, sha256(data))
    manifest = image(*layers, **others)
    response = await put_manifest(one, name, manifest, reference)
    assert response.status_code == 201, response.text
    return sha256(manifest)


async def collect(
    storage: Storage,
    grace: timedelta = timedelta(0),
    forgotten: list[Digest] | None = None,
    **options: Any,
) -> GarbageReport:
    async def forget(digest: Digest) -> None:
        if forgotten is not None:
            forgotten.append(digest)

    return await Collector(storage, GarbageOptions(grace=grace, **options), forget).collect()


async def statuses(one: Application, name: str, *blobs: bytes) -> list[int]:
    """Give what HEAD says of blobs."""
    answers = [await one.http.head(f"/v2/{name}/blobs/{sha256(data)}") for data in blobs]
    return [answer.status_code for answer in answers]


async def files(storage: Storage) -> set[str]:
    """Give the path of every file, below the registry's root."""
    found = {info.path async for info in storage.walk("/")}
    return {path.removeprefix("/docker/registry/v2/") for path in found}


def blob_file(data: bytes) -> str:
    return paths.blob(parse_digest(sha256(data)))


def marker(data: bytes) -> str:
    return paths.condemned_blob(parse_digest(sha256(data)))


def names(report: GarbageReport, which: str = "deleted") -> set[str]:
    """Give the digests of what was deleted, or condemned; those of manifests with their name."""
    items = getattr(report, which)
    return {f"{item.name}@{item.digest}" if item.name else str(item.digest) for item in items}


def in_files(folder: Path) -> StorageDriver:
    """Give a driver that stores below a folder."""
    plugins = load_plugins()
    spec = plugins.driver("filesystem")
    parameters = spec.parameters.model_validate({"root_directory": str(folder)})
    driver: StorageDriver = plugins.load_factory(spec)(parameters)
    return driver


def write_config(folder: Path) -> Path:
    section = {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}
    config = folder / "config.yml"
    config.write_text(yaml.safe_dump({"version": "0.1", "storage": section}))
    return config
