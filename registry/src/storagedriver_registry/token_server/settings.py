"""The configuration of a token server.

```yaml
issuer: tokens.example            # as in the registry's auth.token.issuer
service: registry.example         # as in its auth.token.service
users: htpasswd                   # a password file; `registry user add htpasswd alice`
key: token-key.pem                # signs tokens; made at the first start, with 0600
jwks: token-keys.json             # written at each start, for the registry's auth.token.jwks
policy:
  anonymous_pull: true
  users:
    alice: { "team/**": [pull, push, delete] }
    "*": { "shared/*": [pull, push] }
  catalog: [alice]
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from storagedriver_core import read_document, validate_document
from storagedriver_registry.configuration.models import HttpSettings, LogLevel
from storagedriver_registry.token_server.policy import Policy, is_pattern

SigningAlgorithm = Literal["ES256", "RS256", "EdDSA"]

_Text = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]+$")]
_FileName = Annotated[str, StringConstraints(min_length=1)]


def _checked_pattern(text: str) -> str:
    if not is_pattern(text):
        raise ValueError("a pattern has lower-case letters, digits, and . _ - / * and no others")
    return text


def _checked_address(text: str) -> str:
    try:
        HttpSettings(addr=text)
    except ValueError:
        raise ValueError("an address is of the form HOST:PORT") from None
    return text


_Pattern = Annotated[str, AfterValidator(_checked_pattern)]
_Action = Literal["pull", "push", "delete", "*"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySettings(_Model):
    """Who may do what.

    Attributes:
        anonymous_pull: Whether everybody may pull everything, without a password.
        users: For each user, actions by pattern of repositories' names. The user `*` is everybody
            who has logged in.
        catalog: Users who may list all repositories.
    """

    anonymous_pull: bool = False
    users: dict[str, dict[_Pattern, tuple[_Action, ...]]] = {}
    catalog: tuple[str, ...] = ()

    def build(self) -> Policy:
        """Make the policy."""
        return Policy(self.users, anonymous_pull=self.anonymous_pull, catalog=self.catalog)


class TokenServerSettings(_Model):
    """A token server. Names of files are relative to the folder of the configuration.

    Attributes:
        addr: Address and port to listen at.
        log: The least severity that is logged.
        issuer: What the server is called in its tokens.
        service: What the registry is called in them.
        realm: What it is called where it asks for a password.
        users: A password file, with bcrypt.
        key: The private key, in PEM; made if there is none.
        algorithm: How a key that is made signs, and what kind of key it is.
        key_id: How tokens name the key: by RFC 7638, or as registries of 2.8 and earlier want it.
        jwks: File to write the public key to.
        certificate: File to write a certificate of the key to, for `rootcertbundle`.
        lifetime: Seconds for which a token holds.
        refresh_lifetime: Seconds for which one that gets other tokens does.
        policy: Who may do what.
    """

    addr: Annotated[str, AfterValidator(_checked_address)] = "127.0.0.1:5001"
    log: LogLevel = "info"
    issuer: _Text
    service: _Text
    realm: _Text = "token server"
    users: _FileName
    key: _FileName
    algorithm: SigningAlgorithm = "ES256"
    key_id: Literal["thumbprint", "libtrust"] = "thumbprint"
    jwks: str = ""
    certificate: str = ""
    # Docker takes what is shorter than a minute for a minute.
    lifetime: Annotated[int, Field(ge=60, le=86400)] = 300
    refresh_lifetime: Annotated[int, Field(ge=60)] = 30 * 86400
    policy: PolicySettings = PolicySettings()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen at."""
        return HttpSettings(addr=self.addr).address


def load_settings(path: Path) -> TokenServerSettings:
    """Read a configuration.

    Raises:
        ConfigurationError: A line for each fault: file and line, key, and what is wrong.
    """
    document = read_document(path)
    settings = validate_document(TokenServerSettings, document)
    files = {
        name: str(document.folder / getattr(settings, name))
        for name in ("users", "key", "jwks", "certificate")
        if getattr(settings, name)
    }
    return settings.model_copy(update=files)
