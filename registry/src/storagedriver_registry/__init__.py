"""OCI and Docker registry on a storage driver."""

# General layout. A module imports only from those above it:
#
#   digest, reference       digests, names, tags
#   manifest                what manifests are and refer to
#   client                  the other side: pulls and pushes; imports only what stands above it
#   files                   files that are written whole
#   hookspecs               what plugins register
#   auth                    who may do what, by plugins
#   hooks                   what the registry itself registers
#   configuration           config.yml
#   storage                 what is stored, and where; knows nothing of HTTP
#   api                     HTTP: routes, handlers, errors; plain ASGI
#   logs                    lines of fields
#   access_log              a line for each request, and its id
#   health                  checks
#   notifications           events, and who is told of them
#   proxy                   a cache of another registry; metrics count what it does
#   metrics, tracing        what is measured, and traced
#   pages                   pages for people
#   purging                 what ends uploads that nobody goes on with
#   app                     all of it as one ASGI application
#   serving                 the servers, in one process or several
#   token_server            a token server for tests and small sites
#   commands                what the commands below share
#   doctor                  what stands against serving
#   maintenance             work on a store that needs no server
#   config_commands,
#   garbage_commands,
#   upload_commands,
#   user_commands, cli      the `registry` command
#   dist                    where the client's command starts
#
# What is exported here is for embedding and for plugins; everything else is the registry's own. It
# is imported when it is asked for: who wants the client alone must not wait for the server.

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storagedriver_registry.app import RegistryApp, create_app
    from storagedriver_registry.auth import (
        Access,
        AccessCheckError,
        AccessController,
        AuthRequest,
        ChallengeError,
        Grant,
    )
    from storagedriver_registry.configuration import Configuration, load_configuration
    from storagedriver_registry.hookspecs import AuthSpec, hookimpl

__all__ = [
    "Access",
    "AccessCheckError",
    "AccessController",
    "AuthRequest",
    "AuthSpec",
    "ChallengeError",
    "Configuration",
    "Grant",
    "RegistryApp",
    "create_app",
    "hookimpl",
    "load_configuration",
]

_HOMES = {
    "AuthSpec": "hookspecs",
    "Configuration": "configuration",
    "RegistryApp": "app",
    "create_app": "app",
    "hookimpl": "hookspecs",
    "load_configuration": "configuration",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'auth')}")
    value: object = getattr(home, name)
    globals()[name] = value
    return value
