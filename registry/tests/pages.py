"""What the tests of pages look at: images, an index, artifacts that refer to it, and odd things."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
from storagedriver_registry.digest import compute_digest
from storagedriver_registry.storage import paths

from registry.tests.client import OCI_INDEX, OCI_MANIFEST, Repository, sha256
from storagedriver_core import Storage

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
SBOM = "application/spdx+json"

SOURCE = "https://git.example/team/app"


def image_config(architecture: str = "amd64") -> dict[str, Any]:
    return {
        "created": "2026-11-20T08:15:30.123456789Z",
        "author": "Team App",
        "os": "linux",
        "architecture": architecture,
        "config": {
            "User": "app",
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "APP_MODE=production"],
            "Entrypoint": ["/usr/bin/app"],
            "Cmd": ["serve", "--port", "8080"],
            "WorkingDir": "/srv/app",
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": {"maintainer": "team@example", "org.example.tier": "web"},
        },
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [
            {"created": "2026-11-18T00:00:00Z", "created_by": "ADD rootfs.tar.gz / # base"},
            {
                "created": "2026-11-20T08:15:00Z",
                "created_by": "ENV APP_MODE=production",
                "empty_layer": True,
            },
            {"created": "2026-11-20T08:15:30Z", "created_by": "COPY app /usr/bin/app"},
        ],
    }


def push_everything(http: httpx.Client, name: str = "team/app") -> dict[str, str]:
    """Push an index of two images with three tags, and two artifacts that refer to it.

    Returns:
        The digests of `amd64`, `arm64`, `index`, `sbom` and `signature`.
    """
    repository = Repository(http, name)
    digests = {}
    members = []
    for architecture in ("amd64", "arm64"):
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": repository.descriptor(
                json.dumps(image_config(architecture)).encode(), CONFIG
            ),
            "layers": [
                repository.descriptor(b"base".ljust(3_456_789, b"\0"), LAYER),
                repository.descriptor(architecture.encode().ljust(65_432, b"\0"), LAYER),
            ],
            "annotations": {
                "org.opencontainers.image.source": SOURCE,
                "org.opencontainers.image.version": "1.1",
            },
        }
        data = json.dumps(manifest).encode()
        digests[architecture] = sha256(data)
        assert repository.push_manifest(data, sha256(data)).status_code == 201
        platform = {"os": "linux", "architecture": architecture}
        if architecture == "arm64":
            platform["variant"] = "v8"
        members.append({**described(data, OCI_MANIFEST), "platform": platform})
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": members}
    data = json.dumps(index).encode()
    digests["index"] = sha256(data)
    for tag in ("1.0", "1.1", "latest"):
        assert repository.push_manifest(data, tag).status_code == 201
    subject = described(data, OCI_INDEX)
    for kind, artifact_type, content in (
        ("sbom", SBOM, b'{"spdxVersion": "SPDX-2.3"}'),
        ("signature", "application/vnd.example.signature", b"signed"),
    ):
        referrer = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": repository.descriptor(b"{}", EMPTY),
            "layers": [
                {
                    **repository.descriptor(content, artifact_type),
                    "annotations": {"org.opencontainers.image.title": f"app.{kind}.json"},
                }
            ],
            "subject": subject,
            "annotations": {"org.opencontainers.image.created": "2026-11-20T08:20:00Z"},
        }
        data = json.dumps(referrer).encode()
        digests[kind] = sha256(data)
        assert repository.push_manifest(data, sha256(data)).status_code == 201
    return digests


def described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


async def store_manifest(storage: Storage, name: str, tag: str, data: bytes) -> str:
    """Store any bytes as a manifest, as a registry that checks nothing would; give their digest."""
    digest = compute_digest(data)
    await storage.put_content(paths.blob(digest), data)
    for path in (
        paths.revision_link(name, digest),
        paths.tag_link(name, tag),
        paths.tag_index_link(name, tag, digest),
    ):
        await storage.put_content(path, str(digest).encode())
    return str(digest)


async def store_blob(storage: Storage, name: str, data: bytes) -> str:
    """Store a blob of a repository; give its digest."""
    digest = compute_digest(data)
    await storage.put_content(paths.blob(digest), data)
    await storage.put_content(paths.layer_link(name, digest), str(digest).encode())
    return str(digest)


async def store_json(storage: Storage, name: str, tag: str, document: Mapping[str, Any]) -> str:
    return await store_manifest(storage, name, tag, json.dumps(document).encode())
