"""Plugin module: registers the registry's own access controllers."""

from __future__ import annotations

from storagedriver_registry.auth.options import (
    HtpasswdOptions,
    NoneOptions,
    SillyOptions,
    TokenOptions,
)
from storagedriver_registry.hookspecs import AuthSpec, hookimpl


@hookimpl
def storagedriver_registry_register_auth() -> list[AuthSpec]:
    """Register `none`, `silly`, `htpasswd` and `token`."""
    return [
        AuthSpec(
            name="none",
            summary="Lets everybody do everything, as without a section auth",
            factory="storagedriver_registry.auth.simple:NoneController",
            parameters=NoneOptions,
        ),
        AuthSpec(
            name="silly",
            summary="Lets whoever sends any Authorization header do everything; for tests",
            factory="storagedriver_registry.auth.simple:SillyController",
            parameters=SillyOptions,
        ),
        AuthSpec(
            name="htpasswd",
            summary="Lets the users of a password file do everything",
            factory="storagedriver_registry.auth.htpasswd:HtpasswdController",
            parameters=HtpasswdOptions,
        ),
        AuthSpec(
            name="token",
            summary="Lets whoever has a token do what a token server has signed",
            factory="storagedriver_registry.auth.token:TokenController",
            parameters=TokenOptions,
        ),
    ]
