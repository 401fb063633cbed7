"""`dist verify`: everything of an image is read, and is what its digest says."""

from __future__ import annotations

from typing import Annotated

import typer

from storagedriver_core import at_once
from storagedriver_registry.client.commands.arguments import parsed, parsed_platform
from storagedriver_registry.client.commands.connection import Connection, connected
from storagedriver_registry.client.commands.failures import NOT_FOUND, WRONG_CONTENT
from storagedriver_registry.client.commands.output import say
from storagedriver_registry.client.commands.progress import size_of, told
from storagedriver_registry.client.commands.session import Session, print_json, run
from storagedriver_registry.client.errors import DigestMismatchError, NotFoundError
from storagedriver_registry.client.transfer import Blob, plan, read_through
from storagedriver_registry.client.transfer.copying import WINDOW


@connected
def verify(
    connection: Connection,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image, wherever it is.")],
    platform: Annotated[
        str | None,
        typer.Option(metavar="OS/ARCH", help="Of an index, only the image for this platform."),
    ] = None,
    referrers: Annotated[
        bool, typer.Option("--referrers", help="Signatures and whatever else is attached, too.")
    ] = False,
) -> None:
    """Read an image with all that belongs to it, and see that each digest is right."""
    location, chosen = parsed(image), parsed_platform(platform)

    async def work(session: Session) -> int:
        source = await session.source(location)
        found = await plan(source, platform=chosen, referrers=referrers)
        with told(quiet=connection.quiet or connection.json) as on_event:

            async def check(blob: Blob) -> Exception | None:
                try:
                    await read_through(source, blob, on_event)
                except (DigestMismatchError, NotFoundError) as error:
                    return error
                return None

            results = await at_once(found.blobs, check, WINDOW) if found.blobs else []
        wrong = [error for error in results if error is not None]
        size = sum(blob.size for blob in found.blobs)
        if connection.json:
            about = {
                "digest": str(found.root.digest),
                "manifests": len(found.manifests),
                "blobs": len(found.blobs),
                "bytes": size,
                "wrong": [str(error) for error in wrong],
            }
            print_json(about)
        else:
            for error in wrong:
                say(f"dist: {error}", err=True)
            if not wrong:
                say(
                    f"{location}  {found.root.digest}  {len(found.manifests)} manifests, "
                    f"{len(found.blobs)} blobs, {size_of(size)}: all as their digests say"
                )
        if not wrong:
            return 0
        is_wrong = any(isinstance(error, DigestMismatchError) for error in wrong)
        return WRONG_CONTENT if is_wrong else NOT_FOUND

    raise typer.Exit(run(connection, work))
