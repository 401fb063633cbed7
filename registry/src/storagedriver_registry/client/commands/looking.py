"""`dist inspect`, `tags` and `catalog`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from storagedriver_registry.client.commands.arguments import (
    parsed,
    parsed_platform,
)
from storagedriver_registry.client.commands.connection import Connection, connected
from storagedriver_registry.client.commands.output import say, write
from storagedriver_registry.client.commands.progress import size_of
from storagedriver_registry.client.commands.session import Session, print_json, run
from storagedriver_registry.client.errors import InvalidAnswerError, NotFoundError
from storagedriver_registry.client.layouts import OCILayout
from storagedriver_registry.client.manifests import FetchedManifest, of_platform
from storagedriver_registry.client.platforms import is_index
from storagedriver_registry.client.references import ImageReference
from storagedriver_registry.client.transfer import Blob, Source, read_whole
from storagedriver_registry.manifest import MODELS, ImageManifest
from storagedriver_registry.manifest.documents import read_stored

_MOST_OF_A_CONFIG = 16 << 20
_PLATFORM = ("os", "architecture", "variant")


@connected
def inspect(
    connection: Connection,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image, wherever it is.")],
    platform: Annotated[
        str | None,
        typer.Option(metavar="OS/ARCH", help="Of an index, the image for this platform."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The manifest, byte for byte.")] = False,
    config: Annotated[
        bool, typer.Option("--config", help="The image's configuration, byte for byte.")
    ] = False,
    referrers: Annotated[
        bool, typer.Option("--referrers", help="And what is attached to it.")
    ] = False,
) -> None:
    """Tell what an image is: digest, type, size, platforms or layers."""
    location, chosen = parsed(image), parsed_platform(platform)

    async def work(session: Session) -> None:
        source = await session.source(location)
        manifest = await source.root()
        if chosen is not None:
            manifest = await of_platform(manifest, chosen, source.manifest)
        if raw:
            write(manifest.data)
            return
        if config:
            write(await _config(source, manifest))
            return
        about = _about(manifest)
        if referrers:
            about["referrers"] = await source.referrers(manifest.digest)
        if connection.json:
            print_json(about)
        else:
            _show(str(location), about)

    run(connection, work)


@connected
def tags(
    connection: Connection,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="HOST/NAME, or a layout")],
) -> None:
    """List the tags of a repository, or the names in a layout."""
    location = parsed(repository)

    async def work(session: Session) -> None:
        found: list[str] = []
        if isinstance(location, ImageReference):
            async for tag in session.repository(location).tags.list():
                found.append(tag)
                _each(connection, tag)
        else:
            source = await session.source(location)
            if not isinstance(source, OCILayout):
                raise typer.BadParameter("an archive of Docker's has no list of names")
            found = await source.tags()
            for tag in found:
                _each(connection, tag)
        if connection.json:
            print_json(found)

    run(connection, work)


@connected
def catalog(
    connection: Connection, host: Annotated[str, typer.Argument(metavar="HOST", help="HOST[:PORT]")]
) -> None:
    """List the repositories of a registry, if it tells them."""

    async def work(session: Session) -> None:
        found: list[str] = []
        async for name in session.client(host).catalog():
            found.append(name)
            _each(connection, name)
        if connection.json:
            print_json(found)

    run(connection, work)


def _each(connection: Connection, text: str) -> None:
    if not connection.json:
        say(text)


async def _config(source: Source, manifest: FetchedManifest) -> bytes:
    if MODELS.get(manifest.media_type) is not ImageManifest:
        raise NotFoundError("an index has no configuration: say --platform")
    config = ImageManifest.model_validate(read_stored(manifest.data)).config
    if config.size is None:
        raise ValueError("a configuration whose size the manifest does not say")
    if config.size > _MOST_OF_A_CONFIG:
        raise ValueError(f"a configuration of {size_of(config.size)}")
    blob = Blob(config.digest, config.size, config.media_type or "")
    return await read_whole(source, blob)


def _about(manifest: FetchedManifest) -> dict[str, Any]:
    document = read_stored(manifest.data)
    about: dict[str, Any] = {
        "digest": str(manifest.digest),
        "mediaType": manifest.media_type,
        "size": len(manifest.data),
    }
    keys: tuple[str, ...] = ("artifactType", "subject", "annotations")
    keys += ("manifests",) if is_index(manifest.media_type) else ("config", "layers")
    return about | {key: document[key] for key in keys if key in document}


def _show(name: str, about: dict[str, Any]) -> None:
    say(name)
    say(f"  digest  {about['digest']}")
    say(f"  type    {about['mediaType']}")
    if "artifactType" in about:
        say(f"  artifact of type {about['artifactType']}")
    if isinstance(subject := about.get("subject"), dict):
        say(f"  refers to {subject.get('digest')}")
    for kind, key in (("image", "manifests"), ("layer", "layers"), ("referrer", "referrers")):
        for one in _listed(about, key):
            of = one.get("platform")
            of = of if isinstance(of, dict) else {}
            which = "/".join(str(of[part]) for part in _PLATFORM if of.get(part))
            which = which or str(one.get("artifactType") or one.get("mediaType"))
            size = size_of(_size(one))
            say(f"  {kind}   {one.get('digest')}  {size:>10}  {which}")
    if layers := _listed(about, "layers"):
        say(f"  {len(layers)} layers, {size_of(sum(map(_size, layers)))}")


def _listed(about: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = about.get(key) or []
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InvalidAnswerError(f"{about['digest']}: its {key} are no descriptors")
    return listed


def _size(descriptor: dict[str, Any]) -> int:
    size = descriptor.get("size")
    if not isinstance(size, int):
        raise InvalidAnswerError(f"the descriptor of {descriptor.get('digest')} has no size")
    return size
