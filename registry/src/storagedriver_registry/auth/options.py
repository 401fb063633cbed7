"""The options of the registry's own controllers, in distribution's spellings.

Source: distribution's documentation, "Configuring a registry", `auth`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

# What can stand between quotes in a header.
_HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]+$")]
_FileName = Annotated[str, StringConstraints(min_length=1)]

Algorithm = Literal[
    "EdDSA",
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "ES256",
    "ES384",
    "ES512",
    "PS256",
    "PS384",
    "PS512",
]
"""Algorithms of signatures."""


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoneOptions(_Options):
    """Nothing to say."""


class SillyOptions(_Options):
    """What the challenge says.

    Attributes:
        realm: Where a client would ask for a token.
        service: For what.
    """

    realm: _HeaderText
    service: _HeaderText


class HtpasswdOptions(_Options):
    """The password file.

    Attributes:
        realm: What the challenge calls the registry.
        path: The file; relative to where the server is started.
    """

    realm: _HeaderText
    path: _FileName


class TokenOptions(_Options):
    """Who signs tokens, and for whom.

    Attributes:
        realm: URL of the token server, where clients ask.
        service: What this registry is called; tokens must be for it.
        issuer: What the token server is called; tokens must be of it.
        rootcertbundle: PEM file of certificates: those of keys that sign tokens, or of
            authorities for the chains that tokens carry.
        jwks: File with a set of JSON Web Keys that sign tokens.
        signingalgorithms: The algorithms that are taken; by default all, each with keys of its own
            kind only.
        autoredirect: Send clients to this very host in place of `realm`.
        autoredirectpath: The path there.
    """

    realm: _HeaderText
    service: _HeaderText
    issuer: _FileName
    rootcertbundle: str = ""
    jwks: str = ""
    signingalgorithms: tuple[Algorithm, ...] = ()
    autoredirect: bool = False
    autoredirectpath: Annotated[str, StringConstraints(pattern=r"^(/[\x21-\x7e]*)?$")] = ""

    @model_validator(mode="after")
    def _has_keys(self) -> TokenOptions:
        if not (self.rootcertbundle or self.jwks):
            raise ValueError("one of rootcertbundle and jwks is required")
        return self
