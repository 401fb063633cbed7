"""What is pushed before anything is measured."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

from benchmarks.registry_load._plan import Plan
from benchmarks.registry_load._wire import Connection, LoadError, with_digest

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
OCTETS = {"content-type": "application/octet-stream"}
TAG = "latest"
_SMALL_LAYERS = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A server with what is in it.

    Attributes:
        url: Without a slash at the end.
        pid: The process whose tree is watched.
        name: The repository.
        manifest: Digest of the image that `TAG` names.
        small: Digest of the small blob.
        large: Digest of the large blob; empty unless one was asked for.
        is_kept: Whether the server keeps what is pushed.
    """

    url: str
    pid: int
    name: str
    manifest: str
    small: str
    large: str
    is_kept: bool

    @property
    def manifests(self) -> str:
        """The path below which manifests are."""
        return f"/v2/{self.name}/manifests"

    @property
    def blobs(self) -> str:
        """The path below which blobs are."""
        return f"/v2/{self.name}/blobs"


def digest_of(data: bytes) -> str:
    """Give the digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def seed(url: str, pid: int, plan: Plan, *, with_large: bool, is_kept: bool) -> Target:
    """Push an image, and a large blob, into a repository of a new name.

    Args:
        url: The server.
        pid: Its process.
        plan: Sizes.
        with_large: Whether a large blob is wanted.
        is_kept: Whether the server keeps what is pushed; then it is read back and compared.

    Raises:
        LoadError: The server answers otherwise than a registry does.
    """
    name = f"load/{os.urandom(4).hex()}"
    blobs = [os.urandom(plan.small_bytes) for _ in range(_SMALL_LAYERS)]
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [_descriptor(LAYER_TYPE, blob) for blob in blobs],
        }
    ).encode()
    large = os.urandom(plan.large_bytes) if with_large else b""
    target = Target(
        url,
        pid,
        name,
        manifest=digest_of(manifest),
        small=digest_of(blobs[0]),
        large=digest_of(large) if with_large else "",
        is_kept=is_kept,
    )
    with Connection(url) as connection:
        for blob in (config, *blobs, *([large] if with_large else [])):
            push_small(connection, target, blob)
        typed = {"content-type": MANIFEST_TYPE}
        connection.expect(201, "PUT", f"{target.manifests}/{TAG}", typed, (manifest,))
        if is_kept:
            typed = {"accept": MANIFEST_TYPE}
            _compare(connection, f"{target.manifests}/{TAG}", typed, target.manifest)
            _compare(connection, f"{target.blobs}/{target.small}", {}, target.small)
            if with_large:
                _compare(connection, f"{target.blobs}/{target.large}", {}, target.large)
    return target


def push_small(connection: Connection, target: Target, data: bytes) -> None:
    """Push a blob by POST and PUT."""
    answer = connection.expect(202, "POST", f"{target.blobs}/uploads/")
    place = with_digest(answer.headers["location"], digest_of(data))
    connection.expect(201, "PUT", place, OCTETS, (data,))


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _compare(connection: Connection, path: str, headers: dict[str, str], digest: str) -> None:
    source, answer = connection.get(path, headers)
    if answer.status != 200 or digest_of(source.read(answer)) != digest:
        raise LoadError(f"GET {path}: answered {answer.status}, and not what was pushed")
