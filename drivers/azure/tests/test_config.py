"""Parameters: their spellings, what they refuse, and what they become."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError
from storagedriver_azure._config import AzureConfig
from storagedriver_azure._connection import Connection
from storagedriver_azure._driver import AzureDriver

from storagedriver_core import ConfigurationError

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

# Source: distribution's documentation of its Azure driver, "Parameters", and its parser.
DISTRIBUTION: dict[str, Any] = {
    "accountname": "example",
    "accountkey": KEY,
    "connectionstring": "",
    "credentials": {
        "type": "shared_key",
        "clientid": "id",
        "tenantid": "tenant",
        "secret": "hidden",
    },
    "container": "images",
    "rootdirectory": "/registry",
    "realm": "core.usgovcloudapi.net",
    "serviceurl": "",
    "maxretries": 5,
    "retrydelay": "100ms",
    "copy_status_poll_max_retry": 10,
    "copy_status_poll_delay": "200ms",
}

THEIRS = {
    "AZURE_STORAGE_ACCOUNT_NAME": "theirs",
    "AZURE_STORAGE_ACCOUNT_KEY": KEY,
    "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=theirs;AccountKey={KEY}",
    "AZURE_STORAGE_SAS_TOKEN": "sig=theirs",
    "AZURE_STORAGE_CLIENT_ID": "theirs",
    "AZURE_STORAGE_TENANT_ID": "theirs",
    "AZURE_STORAGE_CLIENT_SECRET": "theirs",
    "AZURE_STORAGE_ANON": "true",
}


def opened(parameters: dict[str, Any]) -> dict[str, Any]:
    """Open a connection, which sends nothing, and tell where it goes and as whom."""

    async def look() -> dict[str, Any]:
        connection = await Connection.open(AzureConfig.model_validate(parameters))
        credential = connection.service.credential
        await connection.aclose()
        return {
            "url": connection.url("a/b"),
            "account": connection.account,
            "credential": type(credential).__name__,
        }

    return asyncio.run(look())


def test_parameters_of_distribution_work_as_they_are() -> None:
    config = AzureConfig.model_validate(DISTRIBUTION)
    assert config.account_key is not None
    assert config.account_key.get_secret_value() == KEY
    assert config.credentials.secret is not None
    assert config.root_directory == "/registry"
    assert opened(DISTRIBUTION) == {
        "url": "https://example.blob.core.usgovcloudapi.net/images/a/b",
        "account": "example",
        "credential": "SharedKeyCredentialPolicy",
    }


def test_each_way_to_ask_reaches_the_client() -> None:
    base = {"account_name": "example", "container": "images"}
    principal = {"type": "client_secret", "clientid": "c", "tenantid": "t", "secret": "s"}
    signed = opened({**base, "sas_token": "?sv=1&sig=abc"})
    assert signed["url"] == "https://example.blob.core.windows.net/images/a/b?sv=1&sig=abc"
    assert opened({**base, "credentials": principal})["credential"] == "ClientSecretCredential"
    assert opened(base)["credential"] == "DefaultAzureCredential"
    default = {**base, "credentials": {"type": "default_credentials"}}
    assert opened(default)["credential"] == "DefaultAzureCredential"
    emulator = {"anonymous": True, "endpoint": "http://127.0.0.1:10000/example"}
    anonymous = opened({**base, **emulator})
    assert anonymous["credential"] == "NoneType"
    assert anonymous["url"] == "http://127.0.0.1:10000/example/images/a/b"
    with pytest.raises(ConfigurationError, match="https"):
        opened({**base, "endpoint": "http://127.0.0.1:10000/example"})
    text = f"DefaultEndpointsProtocol=https;AccountName=other;AccountKey={KEY}"
    by_text = opened({"container": "images", "connectionstring": text})
    assert by_text["account"] == "other"
    assert by_text["url"] == "https://other.blob.core.windows.net/images/a/b"


def test_urls_are_signed_only_with_a_key_or_a_token() -> None:
    def signs(**parameters: Any) -> bool:
        base = {"account_name": "example", "container": "images"}
        config = AzureConfig.model_validate({**base, **parameters})
        return AzureDriver(config).capabilities.sign_get

    assert signs()
    assert signs(account_key=KEY)
    assert signs(connection_string=f"AccountName=a;AccountKey={KEY}")
    assert not signs(connection_string="AccountName=a;SharedAccessSignature=sig=1")
    assert not signs(sas_token="sig=1")
    assert not signs(anonymous=True)


def test_what_is_configured_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    base = {"account_name": "ours", "container": "images"}
    principal = {"clientid": "c", "tenantid": "t", "secret": "s"}
    for given, credential in (
        ({"account_key": KEY}, "SharedKeyCredentialPolicy"),
        ({"anonymous": True}, "NoneType"),
        ({"credentials": {"type": "client_secret", **principal}}, "ClientSecretCredential"),
        ({"credentials": principal}, "ClientSecretCredential"),
        ({"credentials": {"type": "default_credentials"}}, "DefaultAzureCredential"),
    ):
        assert opened({**base, **given}) == {
            "url": "https://ours.blob.core.windows.net/images/a/b",
            "account": "ours",
            "credential": credential,
        }


def test_connection_string_of_the_environment_is_for_what_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = {"account_name": "ours", "container": "images"}

    def opened_beside(text: str, **parameters: str) -> dict[str, Any]:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        return opened({**base, **parameters})

    ours = f"AccountName=ours;AccountKey={KEY}"
    assert opened_beside(ours) == {
        "url": "https://ours.blob.core.windows.net/images/a/b",
        "account": "ours",
        "credential": "SharedKeyCredentialPolicy",
    }
    emulator = "http://127.0.0.1:10000/ours"
    at_emulator = opened_beside(f"{ours};BlobEndpoint={emulator}", endpoint=f"{emulator}/")
    assert at_emulator["url"] == f"{emulator}/images/a/b"
    with pytest.raises(ConfigurationError, match="'theirs', and 'ours'"):
        opened_beside(f"AccountName=theirs;AccountKey={KEY}")
    with pytest.raises(ConfigurationError, match="'theirs', and 'ours'"):
        opened_beside("BlobEndpoint=https://theirs.blob.core.windows.net;SharedAccessSignature=s=1")
    for elsewhere in (
        f"{ours};BlobEndpoint={emulator}",
        f"{ours};EndpointSuffix=core.chinacloudapi.cn",
    ):
        with pytest.raises(ConfigurationError, match="leads to") as refused:
            opened_beside(elsewhere)
        assert KEY not in str(refused.value)


def test_connection_string_does_not_contradict_the_rest() -> None:
    base = {"container": "images", "connection_string": f"AccountName=theirs;AccountKey={KEY}"}
    theirs = "https://theirs.blob.core.windows.net"
    for consistent in ({}, {"account_name": "theirs"}, {"endpoint": theirs}):
        assert opened({**base, **consistent})["url"] == f"{theirs}/images/a/b"
    for contradiction in ({"account_name": "ours"}, {"endpoint": "https://example.com"}):
        with pytest.raises(ConfigurationError, match="connection_string"):
            opened({**base, **contradiction})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"account_name": None}, "account_name"),
        ({"container": ""}, "container"),
        ({"container": "Upper"}, "container"),
        ({"endpoint": "example.com"}, "endpoint"),
        ({"public_endpoint": "ftp://example.com"}, "public_endpoint"),
        ({"endpoint": "https://example.blob.core.windows.net/?sig=hidden"}, "endpoint"),
        ({"credentials": {"type": "client_secret", "clientid": "a"}}, "tenant_id"),
        ({"credentials": {"type": "shared_key"}}, "account_key"),
        ({"credentials": {"type": "magic"}}, "credentials"),
        ({"max_connections": 0}, "max_connections"),
    ],
)
def test_wrong_parameters_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        AzureConfig.model_validate({"account_name": "a", "container": "images", **changes})


def test_malformed_secrets_are_refused_and_not_repeated() -> None:
    text = {"container": "images", "connection_string": "no=such;secretthing"}
    with pytest.raises(ConfigurationError) as refused:
        opened(text)
    assert "secretthing" not in repr(refused.value)
    assert refused.value.__cause__ is None


def test_driver_travels_to_another_process_unopened() -> None:
    config = AzureConfig.model_validate(DISTRIBUTION)
    copy = pickle.loads(pickle.dumps(AzureDriver(config)))
    assert copy.capabilities == AzureDriver(config).capabilities
    assert KEY not in repr(config)


def test_no_sdk_is_imported_before_a_driver_is_made() -> None:
    code = """
import sys
from storagedriver_core import load_config, load_plugins
plugins = load_plugins()
spec = plugins.driver("azure")
parameters = {"account_name": "a", "container": "abc"}
load_config({"storage": {"driver": "azure", "parameters": parameters}})
heavy = ("adlfs", "azure", "fsspec", "aiohttp")
assert not [name for name in sys.modules if name.split(".")[0] in heavy]
plugins.load_factory(spec)
assert {"adlfs", "azure", "aiohttp"} <= {name.split(".")[0] for name in sys.modules}
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
