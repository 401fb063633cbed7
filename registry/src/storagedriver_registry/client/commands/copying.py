"""`dist push`, `pull`, `copy` and `sync`."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Annotated, Any

import typer

from storagedriver_registry.client.commands.arguments import parsed, parsed_platform
from storagedriver_registry.client.commands.connection import Connection, connected
from storagedriver_registry.client.commands.locations import (
    LocalLocation,
    Location,
    StorageLocation,
)
from storagedriver_registry.client.commands.output import say
from storagedriver_registry.client.commands.progress import size_of, told
from storagedriver_registry.client.commands.session import Session, print_json, run
from storagedriver_registry.client.errors import NotFoundError
from storagedriver_registry.client.layouts import OCILayout
from storagedriver_registry.client.platforms import Platform
from storagedriver_registry.client.references import ImageReference
from storagedriver_registry.client.transfer import CopyReport, copy
from storagedriver_registry.client.transfer.copying import MOST_WINDOW, WINDOW
from storagedriver_registry.digest import Digest

PlatformOption = Annotated[
    str | None,
    typer.Option(metavar="OS/ARCH", help="Of an index, only the image for this platform."),
]
ReferrersOption = Annotated[
    bool, typer.Option("--referrers", help="Signatures and whatever else is attached, too.")
]
WindowOption = Annotated[
    int, typer.Option("--window", min=1, max=MOST_WINDOW, metavar="N", help="Layers at once.")
]


@connected
def push(
    connection: Connection,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="oci:DIR[:NAME], oci-archive:, docker-archive:")
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="HOST/NAME[:TAG]")],
    platform: PlatformOption = None,
    referrers: ReferrersOption = False,
    window: WindowOption = WINDOW,
) -> None:
    """Copy an image from a layout, an archive or a store to a registry."""
    end = parsed(target)
    if not isinstance(end, ImageReference):
        raise typer.BadParameter("a push ends in a registry; see `dist copy`")
    _copy(connection, parsed(source), end, parsed_platform(platform), referrers, window)


@connected
def pull(
    connection: Connection,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="HOST/NAME[:TAG][@DIGEST]")],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE; "
            "by default a layout in a new folder, called as the repository",
        ),
    ] = None,
    platform: PlatformOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Of an index, the images for all platforms.")
    ] = False,
    referrers: ReferrersOption = False,
    window: WindowOption = WINDOW,
) -> None:
    """Copy an image from a registry. Of an index, by default, the one for this machine."""
    begin = parsed(source)
    if not isinstance(begin, ImageReference):
        raise typer.BadParameter("a pull begins at a registry; see `dist copy`")
    if everything and platform:
        raise typer.BadParameter("--all and --platform exclude each other")
    end: Location = LocalLocation(
        "oci", Path(begin.name.rpartition("/")[2]), begin.tag or str(begin.reference)[:19]
    )
    if target is not None:
        end = parsed(target)
    chosen = None if everything else parsed_platform(platform) or Platform.of_this_machine()
    _copy(connection, begin, end, chosen, referrers, window)


@connected
def copy_(
    connection: Connection,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="An image, wherever it is.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where it shall be.")],
    platform: PlatformOption = None,
    referrers: ReferrersOption = False,
    window: WindowOption = WINDOW,
) -> None:
    """Copy an image from anywhere to anywhere, byte for byte; all platforms of an index.

    Places are HOST/NAME:TAG (or docker://...), oci:DIR:NAME, oci-archive:FILE:NAME,
    docker-archive:FILE:NAME:TAG, and storage:CONFIG:/PATH:NAME for any configured storage.
    """
    _copy(connection, parsed(source), parsed(target), parsed_platform(platform), referrers, window)


@connected
def sync(
    connection: Connection,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="HOST/NAME, or a layout")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="HOST/NAME, oci:DIR or storage:CONFIG:/PATH")
    ],
    tags: Annotated[
        list[str] | None,
        typer.Option("--tags", metavar="GLOB", help="Only these tags, as 'v1.*'."),
    ] = None,
    platform: PlatformOption = None,
    referrers: ReferrersOption = False,
    window: WindowOption = WINDOW,
) -> None:
    """Copy all tags of a repository; those that are the same already are left out."""
    begin, end, chosen = parsed(source), parsed(target), parsed_platform(platform)
    for one in (begin, end):
        if (isinstance(one, LocalLocation) and one.kind != "oci") or _has_name(one):
            raise typer.BadParameter(f"{one}: a whole repository or layout is wanted, without tag")

    async def work(session: Session) -> None:
        done: list[dict[str, Any]] = []
        found = await _tags(session, begin)
        wanted = [tag for tag in found if any(fnmatch.fnmatch(tag, one) for one in tags or "*")]
        for tag in wanted:
            here, there = _at(begin, tag), _at(end, tag)
            before = await _digest(session, there, itself=True)
            is_same = before is not None and before == await _digest(session, here)
            # What refers to an image changes without it.
            if is_same and chosen is None and not referrers:
                done.append({"tag": tag, "digest": str(before), "unchanged": True})
            else:
                report = await _copied(session, here, there, chosen, referrers, window)
                done.append({"tag": tag, **_about(report), "unchanged": False})
            if not connection.json:
                state = "unchanged" if done[-1]["unchanged"] else "copied"
                say(f"{tag}  {done[-1]['digest']}  {state}")
        if connection.json:
            print_json(done)

    run(connection, work)


def _copy(
    connection: Connection,
    source: Location,
    target: Location,
    platform: Platform | None,
    referrers: bool,
    window: int,
) -> None:
    async def work(session: Session) -> None:
        report = await _copied(session, source, target, platform, referrers, window)
        if connection.json:
            print_json({"source": str(source), "target": str(target), **_about(report)})
            return
        say(f"{target}  {report.digest}")
        if not connection.quiet:
            typer.echo(
                f"{report.copied} blobs copied, {report.present} already there, "
                f"{report.mounted} mounted; {size_of(report.moved)} moved",
                err=True,
            )

    run(connection, work)


async def _copied(
    session: Session,
    source: Location,
    target: Location,
    platform: Platform | None,
    referrers: bool,
    window: int,
) -> CopyReport:
    connection = session.connection
    begin, end = await session.source(source), await session.target(target)
    with told(quiet=connection.quiet or connection.json) as on_event:
        return await copy(
            begin,
            end,
            platform=platform,
            referrers=referrers,
            window=window,
            digest=target.digest if isinstance(target, ImageReference) else None,
            on_event=on_event,
        )


async def _tags(session: Session, location: Location) -> list[str]:
    if isinstance(location, ImageReference):
        return [tag async for tag in session.repository(location).tags.list()]
    source = await session.source(location)
    assert isinstance(source, OCILayout)
    return await source.tags()


async def _digest(session: Session, location: Location, *, itself: bool = False) -> Digest | None:
    """Give the digest of what is at a place, not of what a mirror of it has; None if nothing is."""
    try:
        if isinstance(location, ImageReference):
            repository = session.repository(location)
            repository = repository.itself if itself else repository
            head = await repository.manifests.head(location.reference)
            return head.digest
        return (await (await session.source(location)).root()).digest
    except NotFoundError:
        return None


def _at(location: Location, tag: str) -> Location:
    if isinstance(location, ImageReference):
        return ImageReference(location.host, location.name, tag)
    if isinstance(location, StorageLocation):
        return StorageLocation(location.config, location.path, tag)
    return LocalLocation(location.kind, location.path, tag)


def _has_name(location: Location) -> bool:
    if isinstance(location, ImageReference):
        return bool(location.tag or location.digest)
    return location.reference is not None


def _about(report: CopyReport) -> dict[str, Any]:
    return {
        "digest": str(report.digest),
        "mediaType": report.media_type,
        "manifests": report.manifests,
        "copied": report.copied,
        "present": report.present,
        "mounted": report.mounted,
        "bytes": report.moved,
    }
