"""The recipes of `docs/examples/deploy`, with this machine's addresses in the place of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from registry.tests.processes import ServerProcess, our_server
from registry.tests.serving import Certificates
from registry.tests.stores import s3_parameters
from servers._process import HOST
from servers.caddy import Caddy
from servers.nginx import Nginx
from servers.seaweedfs import SeaweedFS
from servers.valkey import Valkey

RECIPES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "deploy"
NODES = ("registry-1:5000", "registry-2:5000", "registry-3:5000")

Proxy = Nginx | Caddy


def recipe(name: str, replaced: Mapping[str, str]) -> str:
    """Give a recipe's text.

    Args:
        name: Its file.
        replaced: What stands in it, and what is to stand there; each has to be found.
    """
    text = (RECIPES / name).read_text()
    for old, new in replaced.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def node_settings(valkey: Valkey) -> dict[str, Any]:
    """Give the sections of the nodes' configuration, but for the storage's driver."""
    document: dict[str, Any] = yaml.safe_load(recipe("registry.yml", {}))
    del document["version"], document["storage"]["s3"]
    # Each listens somewhere else, and says no more than it has to.
    del document["http"]["addr"], document["http"]["debug"]
    # Clients without a password are what the tests are about.
    del document["auth"]
    # A variable gives it, with the recipes.
    document["http"]["secret"] = "for-tests"
    document["log"]["level"] = "warn"
    assert document["redis"] == {"addr": "valkey:6379"}
    # By default it has 250 ms, which a busy machine may take: then it is as if it was not there.
    document["redis"] = {"addr": valkey.url.removeprefix("redis://"), "readtimeout": "10s"}
    return document


def node_store(seaweedfs: SeaweedFS) -> dict[str, Any]:
    """Give the section of the storage's driver, for a new place on S3."""
    section: dict[str, Any] = yaml.safe_load(recipe("registry.yml", {}))["storage"]["s3"]
    return {"s3": {**section, **s3_parameters(seaweedfs)}}


def nodes(
    folder: Path, store: Mapping[str, Any], valkey: Valkey, cache: Mapping[str, Any] | None = None
) -> list[ServerProcess]:
    """Give the three nodes of the recipe, not started.

    Args:
        folder: For their files.
        store: What `node_store` gives.
        valkey: What they share.
        cache: Other keys of `storage.cache`.
    """
    sections = node_settings(valkey)
    sections["storage"]["cache"] |= cache or {}
    return [our_server(folder, sections, store=store) for _ in NODES]


def nginx(
    folder: Path,
    hosts: Sequence[str],
    certificates: Certificates,
    others: Mapping[str, str] | None = None,
) -> Nginx:
    """Give nginx with the recipe's configuration, not started.

    Args:
        folder: For its files.
        hosts: Host and port of each node; the last one stands for those that are missing.
        certificates: Where its own comes from.
        others: What else is replaced in the recipe.
    """

    def site(ports: Sequence[int]) -> str:
        return recipe(
            "nginx.conf",
            {
                "listen 443 ssl": f"listen {HOST}:{ports[0]} ssl",
                "listen 80": f"listen {HOST}:{ports[1]}",
                "/etc/nginx/tls/registry.crt": str(certificates.certificate),
                "/etc/nginx/tls/registry.key": str(certificates.key),
                **_addresses(hosts),
                **(others or {}),
            },
        )

    return Nginx(folder, site)


def caddy(
    folder: Path,
    hosts: Sequence[str],
    certificates: Certificates,
    others: Mapping[str, str] | None = None,
) -> Caddy:
    """Give Caddy with the recipe's configuration, not started; it takes what `nginx` does."""

    def site(ports: Sequence[int]) -> str:
        return recipe(
            "Caddyfile",
            {
                # Nothing but the one port, and no certificate from elsewhere.
                "{\n\tservers {": "{\n\tadmin off\n\tauto_https off\n\tservers {",
                "registry.example {": f"https://{HOST}:{ports[0]} {{\n\tbind {HOST}\n"
                f"\ttls {certificates.certificate} {certificates.key}",
                **_addresses(hosts),
                **(others or {}),
            },
        )

    return Caddy(folder, site)


PROXIES: Mapping[str, Callable[..., Proxy]] = {"nginx": nginx, "caddy": caddy}


def _addresses(hosts: Sequence[str]) -> dict[str, str]:
    return {node: hosts[min(index, len(hosts) - 1)] for index, node in enumerate(NODES)}
