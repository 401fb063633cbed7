"""Which account, and as whom: adlfs chooses, by what is configured and then by the environment."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import Any

from adlfs import AzureBlobFileSystem

from storagedriver_azure._config import AzureConfig, CredentialType
from storagedriver_core import ConfigurationError

_CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"


def open_account(config: AzureConfig) -> Any:
    """Give adlfs's filesystem, from which come the SDK's client and the credentials. Sends nothing.

    Raises:
        ConfigurationError: What is configured makes no account, or the environment has a connection
            string for another one.
    """
    endpoint = (config.endpoint or f"https://{config.account_name}.blob.{config.realm}").rstrip("/")
    text = _connection_string(config, endpoint)
    named = None if text else _named_credentials(config)
    from_environment = None if text or named else os.environ.get(_CONNECTION_STRING) or None
    if not (text or from_environment or endpoint.startswith("https:")):
        raise ConfigurationError("the endpoint is not https, and tokens go over nothing else")
    try:
        filesystem = AzureBlobFileSystem(
            account_name=config.account_name,
            # With one, adlfs takes nothing from the environment.
            connection_string=_nobody(config, endpoint) if named else text or from_environment,
            client_id=config.credentials.client_id,
            tenant_id=config.credentials.tenant_id,
            client_secret=_revealed(config.credentials.secret),
            anon=config.anonymous or None,
            account_host=endpoint.partition("://")[2],
            asynchronous=True,
            loop=asyncio.get_running_loop(),
            skip_instance_cache=True,
        )
        # adlfs closes itself by a thread and keeps itself alive for that; here `aclose` does it.
        for reference in weakref.getweakrefs(filesystem):
            callback = getattr(reference, "__callback__", None)
            if isinstance(callback, weakref.finalize):
                callback.detach()
        if named:
            _go_as(named, filesystem)
    except ValueError:
        # adlfs wraps what the SDK says, which may repeat a connection string.
        raise ConfigurationError("the account or its credentials are not well formed") from None
    if config.connection_string or from_environment:
        name = _CONNECTION_STRING if from_environment else "connection_string"
        _require_configured(config, endpoint, filesystem.service_client, name)
    return filesystem


def _named_credentials(config: AzureConfig) -> CredentialType | None:
    """Give the kind of credentials that is configured; None if the environment may say."""
    given = config.credentials
    return given.type or ("client_secret" if given.client_id else None)


def _go_as(kind: CredentialType, filesystem: Any) -> None:
    """Connect once more, by tokens of this kind of credentials."""
    filesystem.connection_string = filesystem.account_key = filesystem.sas_token = None
    filesystem.credential, filesystem.sync_credential = (
        filesystem._get_credential_from_service_principal()
        if kind == "client_secret"
        else filesystem._get_default_azure_credential()
    )
    filesystem.do_connect()


def _require_configured(config: AzureConfig, endpoint: str, service: Any, name: str) -> None:
    """Refuse a connection string that leads elsewhere than the rest of the configuration says.

    Raises:
        ConfigurationError: The account or the address is another.
    """
    account, address = service.account_name, f"{service.scheme}://{service.primary_hostname}"
    if config.account_name is not None and account not in (None, config.account_name):
        raise ConfigurationError(
            f"{name} is for the account {account!r}, and {config.account_name!r} is configured"
        )
    # One that is configured may name the address, which `endpoint` then need not.
    is_free = name == "connection_string" and config.endpoint is None
    if not is_free and address.rstrip("/").lower() != endpoint.lower():
        raise ConfigurationError(f"{name} leads to {address}, and {endpoint} is configured")


def _connection_string(config: AzureConfig, endpoint: str) -> str | None:
    if config.connection_string is not None:
        return config.connection_string.get_secret_value()
    if config.account_key is not None:
        credential = f"AccountKey={config.account_key.get_secret_value()}"
    elif config.sas_token is not None:
        credential = f"SharedAccessSignature={config.sas_token.get_secret_value().lstrip('?')}"
    elif config.anonymous:
        credential = ""
    else:
        return None
    return _nobody(config, endpoint) + credential


def _nobody(config: AzureConfig, endpoint: str) -> str:
    """Give a connection string without a credential."""
    account = f"AccountName={config.account_name};" if config.account_name else ""
    return f"{account}BlobEndpoint={endpoint};"


def _revealed(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()
