"""`dist delete` and `attach`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer

from storagedriver_registry.client.commands.arguments import parsed_reference
from storagedriver_registry.client.commands.connection import Connection, connected
from storagedriver_registry.client.commands.session import Session, print_json, run
from storagedriver_registry.client.layouts import LocalFiles
from storagedriver_registry.client.repository import Repository
from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.manifest.media_types import OCI_MANIFEST

_TITLE = "org.opencontainers.image.title"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
_OCTETS = "application/octet-stream"


@connected
def delete(
    connection: Connection,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="HOST/NAME:TAG or HOST/NAME@DIGEST")
    ],
    manifest: Annotated[
        bool,
        typer.Option(
            "--manifest", help="Of a tag: the manifest that it names, and all of its tags."
        ),
    ] = False,
) -> None:
    """Delete a tag, or by digest a manifest with all of its tags."""
    reference = parsed_reference(image)
    if not reference.tag and reference.digest is None:
        raise typer.BadParameter("say which: :TAG or @DIGEST")

    async def work(session: Session) -> None:
        # No mirror says what is deleted, or referred to.
        repository = session.repository(reference).itself
        gone: str | Digest = reference.reference
        if manifest and isinstance(gone, str):
            gone = (await repository.manifests.get(gone)).digest
        await repository.manifests.delete(gone)
        if connection.json:
            print_json({"deleted": str(gone)})
        else:
            typer.echo(f"{reference.host}/{reference.name}: {gone} is deleted")

    run(connection, work)


@connected
def attach(
    connection: Connection,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="HOST/NAME:TAG or HOST/NAME@DIGEST")
    ],
    files: Annotated[
        list[str], typer.Argument(metavar="FILE[:TYPE]...", help="Files, with media types.")
    ],
    artifact_type: Annotated[
        str,
        typer.Option("--artifact-type", metavar="TYPE", help="As application/spdx+json."),
    ],
    annotations: Annotated[
        list[str] | None,
        typer.Option("--annotation", metavar="KEY=VALUE", help="May be given several times."),
    ] = None,
) -> None:
    """Attach files to an image, as an artifact that refers to it."""
    reference = parsed_reference(image)
    notes = dict(_note(text) for text in annotations or ())
    chosen = [_file(text) for text in files]

    async def work(session: Session) -> None:
        repository = session.repository(reference).itself
        subject = await repository.manifests.get(reference.reference)
        await repository.blobs.upload(compute_digest(_EMPTY), _EMPTY)
        layers = [await _uploaded(repository, path, media_type) for path, media_type in chosen]
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": _descriptor(_EMPTY_TYPE, compute_digest(_EMPTY), len(_EMPTY)),
            "layers": layers,
            "subject": _descriptor(subject.media_type, subject.digest, len(subject.data)),
        }
        if notes:
            document["annotations"] = notes
        data = json.dumps(document, separators=(",", ":")).encode()
        digest = compute_digest(data)
        done = await repository.manifests.put(digest, data, OCI_MANIFEST)
        if not done.lists_subject:
            await repository.referrers.record(data, OCI_MANIFEST)
        if connection.json:
            print_json({"digest": str(digest), "subject": str(subject.digest)})
        else:
            typer.echo(f"{reference.host}/{reference.name}@{digest}")

    run(connection, work)


async def _uploaded(repository: Repository, path: Path, media_type: str) -> dict[str, Any]:
    """Upload a file, and give its descriptor, named as it is."""
    files, running, size = LocalFiles(path.parent), hashlib.sha256(), 0
    async with aclosing(files.chunks(path.name, 0)) as chunks:
        async for chunk in chunks:
            running.update(chunk)
            size += len(chunk)
    digest = Digest("sha256", running.hexdigest())

    def opened(offset: int) -> AsyncIterator[bytes]:
        return files.chunks(path.name, offset)

    if not await repository.blobs.exists(digest):
        await repository.blobs.upload(digest, opened, size)
    return {**_descriptor(media_type, digest, size), "annotations": {_TITLE: path.name}}


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest), "size": size}


def _file(text: str) -> tuple[Path, str]:
    """Read `FILE` or `FILE:TYPE`; a media type has a slash, a file need not."""
    path, _, media_type = text.rpartition(":")
    if path and "/" in media_type and not Path(text).exists():
        return _existing(Path(path)), media_type
    return _existing(Path(text)), _OCTETS


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}")
    return path


def _note(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    return key, value
