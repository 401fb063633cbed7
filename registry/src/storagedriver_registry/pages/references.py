"""What clients call an image, and the commands that fetch it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from storagedriver_registry.pages.manifests import Kind

# A client says itself what it asked, and a command is pasted into a shell.
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Command:
    """A command to copy.

    Attributes:
        client: Whose it is.
        text: The command.
    """

    client: str
    text: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where clients find this registry.

    Attributes:
        host: Host and port; empty if nobody knows.
        is_plain: Whether it is asked without TLS.
    """

    host: str
    is_plain: bool


def read_origin(url: str) -> Origin:
    """Read scheme and host of a URL of this registry."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    return Origin(host if _HOST.fullmatch(host) else "", scheme == "http")


def pull_commands(origin: Origin, name: str, reference: str, kind: Kind) -> list[Command]:
    """Give the commands that fetch a manifest with all that it names.

    Args:
        origin: Where clients find the registry.
        name: The repository.
        reference: `:` and a tag, or `@` and a digest.
        kind: What it is; no engine runs an artifact.
    """
    if not origin.host:
        return []
    image = f"{origin.host}/{name}{reference}"
    if kind == "artifact":
        return [Command("oras", f"oras pull{_plain(origin, ' --plain-http')} {image}")]
    target = name.rpartition("/")[2] + (reference if reference.startswith(":") else "")
    skopeo = f"skopeo copy{_plain(origin, ' --src-tls-verify=false')}"
    return [
        Command("Docker", f"docker pull {image}"),
        Command("Podman", f"podman pull{_plain(origin, ' --tls-verify=false')} {image}"),
        Command("skopeo", f"{skopeo} docker://{image} oci:{target}"),
    ]


def _plain(origin: Origin, flag: str) -> str:
    return flag if origin.is_plain else ""
