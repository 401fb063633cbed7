"""Who the driver is to the service, for people who look for what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from storagedriver_azure._connection import Connection
from storagedriver_azure._errors import FAILURES, from_failure

_TOKEN_SCOPE = "https://storage.azure.com/.default"


async def identity(connection: Connection) -> Mapping[str, str]:
    """Tell where the credentials come from, and where requests go.

    Whoever asks looks for what is wrong, so a credential that cannot be had is a fact as well.
    """
    facts = {
        "credentials": _kind_of_credentials(connection),
        "account": connection.account,
        "endpoint": connection.endpoint,
        "container": connection.container,
    }
    if hasattr(connection.service.credential, "get_token"):
        try:
            token = (await connection.service.credential.get_token(_TOKEN_SCOPE)).token
        except FAILURES as failure:
            facts["credentials"] = f"none: {from_failure(failure).message}"
        else:
            facts["principal"] = _principal(token)
    return {name: value for name, value in facts.items() if value}


def _kind_of_credentials(connection: Connection) -> str:
    """Say in words where the credentials come from."""
    credential = connection.service.credential
    if getattr(credential, "account_key", None):
        return "account key"
    if connection.signature:
        return "shared access signature"
    if credential is None:
        return "anonymous"
    kind = type(credential).__name__
    return {
        "ClientSecretCredential": "service principal",
        "DefaultAzureCredential": "azure-identity's default chain",
    }.get(kind, kind)


def _principal(token: str) -> str:
    """Give who the service takes us for: what the token says of its owner."""
    try:
        claims = token.split(".")[1]
        known: Any = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except (IndexError, ValueError):
        return ""  # its form is between the service and who gave it
    if not isinstance(known, dict):
        return ""
    names = ("upn", "app_displayname", "appid", "oid")
    return next((str(known[name]) for name in names if name in known), "")
