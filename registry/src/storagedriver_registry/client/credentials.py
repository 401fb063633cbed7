"""Who the client is to a registry."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name with a password, or a token that stands for both. No secret is in its `repr`.

    Attributes:
        username: The name; empty with an identity token alone.
        password: The password, or an access key that is used as one.
        identity_token: A refresh token, which a token server exchanges for tokens.
        registry_token: A bearer token that the registry itself takes, as it is.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if ":" in self.username:
            # Source: RFC 7617, section 2: the first colon ends the name.
            raise ValueError("a user's name cannot hold a colon")

    @property
    def has_password(self) -> bool:
        """Whether there is a name with a password."""
        return bool(self.username and self.password)

    def basic(self) -> str:
        """Give the value of a header `Authorization`. It is a secret."""
        encoded = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return f"Basic {encoded}"


class CredentialSource(Protocol):
    """Where credentials are kept. May block: it is asked in a thread, once for each registry."""

    def credentials(self, host: str) -> Credentials | None:
        """Give the credentials for a registry; None if there are none.

        Args:
            host: Host and port, as the registry is named in references.

        Raises:
            CredentialsError: They cannot be read.
        """
