"""Who may do what: access controllers as plugins, and the guard that asks one."""

# General layout. A module imports only from those above it:
#
#   access                       what a request needs, and what somebody may do
#   contract                     what a controller is, and how it refuses
#   options                      the options of the registry's own controllers
#   plugins                      which controllers are installed, and a configured one
#   guard                        asks the controller before a request is handled
#   headers, recent              helps for controllers
#   simple, htpasswd_file,
#   htpasswd_users, htpasswd,
#   certificates, token_keys,
#   token                        the registry's own controllers, imported when they are used
#
# Nothing here knows of ASGI: a request is something that has headers.

from __future__ import annotations

from storagedriver_registry.auth.access import Access, Grant, required_accesses
from storagedriver_registry.auth.contract import (
    AccessCheckError,
    AccessController,
    AuthRequest,
    ChallengeError,
)
from storagedriver_registry.auth.guard import Guard
from storagedriver_registry.auth.plugins import AuthConfig, AuthPlugins, load_auth_plugins

__all__ = [
    "Access",
    "AccessCheckError",
    "AccessController",
    "AuthConfig",
    "AuthPlugins",
    "AuthRequest",
    "ChallengeError",
    "Grant",
    "Guard",
    "load_auth_plugins",
    "required_accesses",
]
