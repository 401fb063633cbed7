"""Arguments of commands, read so that what is wrong is told as wrong usage."""

from __future__ import annotations

import typer

from storagedriver_registry.client.commands.locations import Location, parse_location
from storagedriver_registry.client.errors import InvalidReferenceError
from storagedriver_registry.client.platforms import Platform
from storagedriver_registry.client.references import ImageReference


def parsed(text: str) -> Location:
    """Read where an image is."""
    try:
        return parse_location(text)
    except InvalidReferenceError as error:
        raise typer.BadParameter(error.message) from None


def parsed_reference(text: str) -> ImageReference:
    """Read a reference to an image in a registry."""
    location = parsed(text)
    if not isinstance(location, ImageReference):
        raise typer.BadParameter(f"{text!r} is not in a registry")
    return location


def parsed_platform(text: str | None) -> Platform | None:
    """Read a platform."""
    try:
        return None if text is None else Platform.parse(text)
    except InvalidReferenceError as error:
        raise typer.BadParameter(error.message) from None
