"""What the tests of interchange with Debian's docker-registry share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from registry.tests.client import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from registry.tests.processes import ServerProcess, docker_registry, our_server, running
from registry.tests.stores import s3_parameters
from servers.seaweedfs import SeaweedFS

# Without it docker-registry has no OCI manifests.
ACCEPT = {"accept": ", ".join([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST])}

Section = Mapping[str, Any] | None


class Pair(NamedTuple):
    """Both servers on one store."""

    ours: ServerProcess
    theirs: ServerProcess


@contextmanager
def running_pair(program: Callable[[str], str], folder: Path, section: Section) -> Iterator[Pair]:
    """Run both.

    Args:
        program: Gives the path of a program.
        folder: For their files.
        section: The section of the driver, for both; None for `folder/data`.
    """
    theirs = docker_registry(program("docker-registry"), folder, store=section)
    with running(our_server(folder, store=section)) as ours, running(theirs):
        yield Pair(ours, theirs)


def client(server: ServerProcess) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers=ACCEPT, follow_redirects=True, timeout=60)


def bucket_section(server: SeaweedFS) -> Section:
    """Give the section of the driver that both servers are given, word for word."""
    return {"s3": {**s3_parameters(server), "secure": False, "v4auth": True}}


def is_unknown_upload(server: ServerProcess, response: httpx.Response) -> bool:
    """Tell whether it is the server's answer to a session of another one."""
    [error] = response.json()["errors"]
    answer = (response.status_code, error["code"])
    if server.is_docker_registry:
        # It calls a session malformed whose state it has not signed.
        return answer == (404, "BLOB_UPLOAD_INVALID")
    return answer == (404, "BLOB_UPLOAD_UNKNOWN")
