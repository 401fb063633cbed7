"""What helps against an error, in words: who was refused, where it was, which key says so."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._document import Setting
from storagedriver_core._errors import (
    AuthenticationError,
    ConfigurationError,
    OperationTimeoutError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UnsupportedMethodError,
)
from storagedriver_core._sizes import size_of
from storagedriver_core.examination._signed import Answer

# Parameters that say which store it is, as drivers call them.
_PLACES = {
    "account_name",
    "bucket",
    "container",
    "endpoint",
    "host",
    "preset",
    "protocol",
    "region",
    "root_directory",
    "url",
}
# Parameters that say who asks. Secrets of them are masked, and so only their origin tells.
_CREDENTIALS = {
    "access_key",
    "account_key",
    "anonymous",
    "connection_string",
    "credentials",
    "credentials_source",
    "keyfile",
    "password",
    "profile",
    "sas_token",
    "secret_key",
    "session_token",
    "token",
    "user",
    "username",
}
# Parameters that say by which way it is reached.
_WAYS = {"endpoint", "host", "region", "url", "account_name", "protocol"}

# What a portable operation is called in the contract that drivers fulfil.
_CALLS = {
    "cancel": "abort_upload",
    "commit": "complete_upload",
    "read": "get_content",
    "reader": "get_content",
    "writer": "open_upload",
}
_IN_GENERAL = {
    "abort_upload": "to abort an upload",
    "check": "to list the root directory",
    "delete": "to delete a file",
    "get_content": "to read a file",
    "list": "to list the root directory",
    "list_uploads": "to list uploads in progress",
    "now": "for the request that tells the store's time",
    "open_upload": "to begin an upload",
    "put_content": "to write a file",
}

_LIMITS = ("min_part_size", "max_part_size", "max_object_size", "max_put_size", "max_single_copy")


class Advice:
    """Knows the configuration and, once the driver has told it, who we are.

    Args:
        settings: The configuration, each value with its origin.
        permissions: What the store calls the permission that a call needs.

    Attributes:
        identity: The driver's facts.
    """

    def __init__(self, settings: Sequence[Setting], permissions: Mapping[str, str]) -> None:
        self.identity: Mapping[str, str] = {}
        self._settings = settings
        self._permissions = permissions

    def of(self, error: StorageDriverError, call: str) -> tuple[str, ...]:
        """Give lines that help against an error.

        Args:
            error: What was raised.
            call: Method of the contract that was tried, where the error does not say.
        """
        operation = error.operation or call
        call = _CALLS.get(operation, operation)
        match error:
            case AuthenticationError():
                where = self._set_by(_CREDENTIALS)
                return (*self._who(), *where, f"this machine's clock says {_now()}")
            case PermissionDeniedError():
                return (f"needs the permission {self._permission(call)}", *self._who())
            case ConfigurationError():
                return tuple(self._set_by(_PLACES))
            case ThrottledError():
                return ("the store asks to slow down; try again later",)
            case UnavailableError() | OperationTimeoutError():
                endpoint = self.identity.get("endpoint")
                asked = [f"endpoint: {endpoint}"] if endpoint else []
                return (*asked, *self._set_by(_WAYS))
            case UnsupportedMethodError():
                return ("the store lacks what is declared: narrow it in storage.capabilities",)
        return ()

    def of_signed_url(self, answer: Answer) -> tuple[str, ...]:
        """Give lines that help where a signed URL was not answered as it should be."""
        if answer.status:
            return ("the store is reached there, and does not take the signature", *self._who())
        lines = self._set_by({*_WAYS, "public_endpoint"})
        return ("clients have to reach the store at this address", *lines)

    def _who(self) -> Iterator[str]:
        for name in ("credentials", "access_key", "account", "principal"):
            if name in self.identity:
                yield f"{name}: {self.identity[name]}"

    def _permission(self, call: str) -> str:
        general = _IN_GENERAL.get(call, f"for {call}")
        special = self._permissions.get(call)
        return f"{general}: {special}" if special else general

    def _set_by(self, names: set[str]) -> Iterator[str]:
        """Give the keys of the configuration that say it, and where they are set."""
        for setting in self._settings:
            _, section, name = setting.key.partition(".parameters.")
            if section and name.partition(".")[0] in names and setting.value:
                value = _without_user(json.dumps(setting.value))
                yield f"{setting.key}: {value}  # {setting.origin}"


def describe_capabilities(declared: Capabilities) -> Iterator[str]:
    """Tell in a few lines what is declared, what is not, and which limits there are."""
    yes: list[str] = []
    no: list[str] = []
    for entry in dataclasses.fields(declared):
        if entry.metadata["narrower"] == "false":
            (yes if getattr(declared, entry.name) else no).append(entry.name)
    yield f"declared: {', '.join(yes) or 'nothing'}"
    yield f"not declared: {', '.join(no) or 'nothing'}"
    sizes = {name: getattr(declared, name) for name in _LIMITS}
    limits = [f"{name} {size_of(size)}" for name, size in sizes.items() if size]
    if declared.max_parts:
        limits.append(f"max_parts {declared.max_parts}")
    if limits:
        yield f"limits: {', '.join(limits)}"


def _without_user(text: str) -> str:
    """Take out what a URL says before an `@`: it may be a password."""
    return re.sub(r"://[^/@\s]*@", "://…@", text)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
