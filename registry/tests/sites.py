"""Registries of every kind that clients meet: where they store, who may, over which scheme.

Every kind is met by every client in `make test-large`. In `make test` it is as many as it takes for
each pair of client, storage, authentication and scheme to meet once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from registry.tests.authentication import TokenServerProcess, write_users
from registry.tests.client import unique_name
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.serving import Certificates

CLIENTS = ("skopeo", "buildah", "oras")
STORAGES = ("filesystem", "s3", "inmemory")
AUTHS = ("open", "htpasswd", "token")
SCHEMES = ("http", "https")

ALICE = ("alice", "wonderland")
POLICY = {"users": {"alice": {"**": ["pull", "push", "delete"]}}}


class Kind(NamedTuple):
    """One kind of registry."""

    storage: str
    auth: str
    scheme: str

    @property
    def is_guarded(self) -> bool:
        """Whether there is anything that a client has to bring along."""
        return self.auth != "open" or self.scheme == "https"


KINDS = tuple(Kind(*one) for one in itertools.product(STORAGES, AUTHS, SCHEMES))


def covering(client: str) -> frozenset[Kind]:
    """Give the kinds that cover each pair once more, if each client meets its own.

    They are the rows of an orthogonal array of four factors with three levels; the third level of
    the scheme is `https` again.
    """
    number = CLIENTS.index(client)
    return frozenset(
        Kind(
            STORAGES[storage],
            AUTHS[(number + storage) % 3],
            ("http", "https", "https")[(number + 2 * storage) % 3],
        )
        for storage in range(3)
    )


def kinds(client: str, *, guarded: bool = False) -> Sequence[Any]:
    """Give the kinds as a test's parameters; those beyond the covering ones are large.

    Args:
        client: Who meets them.
        guarded: Only those that do not let everybody in.
    """
    chosen = covering(client)
    return [
        pytest.param(kind, id="-".join(kind), marks=() if kind in chosen else pytest.mark.large)
        for kind in KINDS
        if kind.is_guarded or not guarded
    ]


@dataclass(frozen=True)
class Site:
    """A registry that runs.

    Attributes:
        kind: Its kind.
        server: The registry.
        trusted: A folder with the certificate of the authority that signed the registry's own, and
            nothing else; None over plain http.
        user: Name and password of a user who may do everything; None where nobody needs any.
    """

    kind: Kind
    server: ServerProcess
    trusted: Path | None
    user: tuple[str, str] | None

    @property
    def host(self) -> str:
        """Host and port."""
        return self.server.host

    @property
    def authority(self) -> Path | None:
        """The authority's certificate."""
        return None if self.trusted is None else self.trusted / "ca.crt"

    def without_ghosts(self, tags: Sequence[str], *deleted: str) -> list[str]:
        """Give the tags of a list, without those deleted ones that the store goes on to list."""
        # SeaweedFS lists a directory whose files are deleted, for two minutes.
        ghosts = deleted if self.kind.storage == "s3" else ()
        return [tag for tag in tags if tag not in ghosts]

    def name(self) -> str:
        """Give the name of a repository that no other test uses."""
        return unique_name("clients")


@contextmanager
def running_site(
    kind: Kind, folder: Path, store: Callable[[], Mapping[str, object]]
) -> Iterator[Site]:
    """Run a registry of a kind.

    Args:
        kind: The kind.
        folder: For its files.
        store: Gives a new place on S3, as a section of the configuration.
    """
    settings: dict[str, Mapping[str, object]] = {}
    section: Mapping[str, object] | None = None
    if kind.storage == "s3":
        section = store()
    elif kind.storage == "inmemory":
        section = {"inmemory": {}}
    trusted: Path | None = None
    authority: Path | None = None
    if kind.scheme == "https":
        certificates = Certificates(folder)
        trusted = folder / "trusted"
        trusted.mkdir()
        authority = certificates.authority.rename(trusted / "ca.crt")
        settings["http"] = {"tls": certificates.section()}
    with ExitStack() as stack:
        if kind.auth != "open":
            users = write_users(folder / "users", dict([ALICE]))
            settings["auth"] = {"htpasswd": {"realm": "registry", "path": str(users)}}
        if kind.auth == "token":
            tokens = stack.enter_context(running(TokenServerProcess(folder, {"policy": POLICY})))
            jwks = str(folder / "keys.json")
            settings["auth"] = {"token": tokens.options(jwks=jwks)}
        registry = our_server(folder, settings, store=section, authority=authority)
        server = stack.enter_context(running(registry))
        yield Site(kind, server, trusted, None if kind.auth == "open" else ALICE)
        assert server.stop() == 0
        assert server.log == f"serving {server.url}/v2/\n"  # no warning, no error
