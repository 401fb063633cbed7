"""What an image's configuration says, as far as it is shown. Source: image-spec, "Properties"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storagedriver_registry.manifest import read_stored
from storagedriver_registry.pages.formats import text_of
from storagedriver_registry.pages.limits import Some, first, first_pairs
from storagedriver_registry.pages.manifests import platform_of, texts


@dataclass(frozen=True, slots=True)
class Step:
    """How one layer was made, or what was set without one.

    Attributes:
        made_by: The command.
        created: When.
        comment: What is said of it.
        is_empty: Whether there is no layer.
    """

    made_by: str
    created: str
    comment: str
    is_empty: bool


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image's configuration.

    Attributes:
        created: When it was made.
        platform: What it runs on.
        facts: What it does when it is run, by what that is called.
        environment: Its variables, as `NAME=value`.
        labels: Its labels.
        history: How it was made, in order.
    """

    created: str
    platform: str
    facts: list[tuple[str, str]]
    environment: Some[str]
    labels: Some[tuple[str, str]]
    history: Some[Step]


def show_image(data: bytes) -> ShownImage:
    """Read a configuration; what it does not say is empty."""
    document = read_stored(data)
    config = document.get("config")
    config = config if isinstance(config, Mapping) else {}
    environment, history = first(config.get("Env")), first(document.get("history"))
    facts = [
        ("Entrypoint", text_of(config.get("Entrypoint"))),
        ("Command", text_of(config.get("Cmd"))),
        ("Working directory", text_of(config.get("WorkingDir"))),
        ("User", text_of(config.get("User"))),
        ("Ports", _keys(config.get("ExposedPorts"))),
        ("Volumes", _keys(config.get("Volumes"))),
        ("Stop signal", text_of(config.get("StopSignal"))),
        ("Author", text_of(document.get("author"))),
    ]
    return ShownImage(
        created=text_of(document.get("created")),
        platform=platform_of(document),
        facts=[(name, value) for name, value in facts if value],
        environment=Some([text_of(each) for each in environment.items], environment.count),
        labels=texts(config.get("Labels")),
        history=Some([_step(each) for each in history.items], history.count),
    )


def _keys(value: object) -> str:
    return text_of(", ".join(key for key, _ in first_pairs(value).items))


def _step(value: object) -> Step:
    step = value if isinstance(value, Mapping) else {}
    return Step(
        made_by=text_of(step.get("created_by")),
        created=text_of(step.get("created")),
        comment=text_of(step.get("comment")),
        is_empty=step.get("empty_layer") is True,
    )
