"""Parameters of the driver."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from storagedriver_core import check_service_url

CredentialType: TypeAlias = Literal["shared_key", "client_secret", "default_credentials"]


def _given(value: object) -> object:
    """Read empty text, which an unset variable leaves, as nothing given."""
    return None if value == "" else value


def _url(value: object) -> object:
    return check_service_url(value) if isinstance(value, str) and value else _given(value)


Text = Annotated[str | None, BeforeValidator(_given)]
Url = Annotated[str | None, BeforeValidator(_url)]
Secret = Annotated[SecretStr | None, BeforeValidator(_given)]


class AzureCredentials(BaseModel):
    """Who asks, in docker/distribution's own way.

    Attributes:
        type: `shared_key` is `account_key`; `client_secret` is a service principal with the next
            three; `default_credentials` is azure-identity's chain: environment, workload identity,
            managed identity, and what a developer is logged in with.
        client_id: The service principal; for a user-assigned managed identity set
            `AZURE_CLIENT_ID`. `clientid` is accepted as well.
        tenant_id: Its directory; `tenantid`.
        secret: Its secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    type: Annotated[CredentialType | None, BeforeValidator(_given)] = None
    client_id: Text = Field(None, validation_alias=AliasChoices("client_id", "clientid"))
    tenant_id: Text = Field(None, validation_alias=AliasChoices("tenant_id", "tenantid"))
    secret: Secret = None

    @model_validator(mode="after")
    def _is_whole(self) -> AzureCredentials:
        if self.type == "client_secret" and not (self.client_id and self.tenant_id and self.secret):
            raise ValueError("client_secret needs client_id, tenant_id and secret")
        return self


class AzureConfig(BaseModel):
    """Which container, as whom, and how. docker/distribution's spellings are accepted as well.

    Of the ways to say who asks, the first that is given counts: `connection_string`,
    `account_key`, `sas_token`, `anonymous`, `credentials`. With none, adlfs looks for
    `AZURE_STORAGE_CONNECTION_STRING`, `..._ACCOUNT_KEY`, `..._SAS_TOKEN` and `..._CLIENT_ID`, then
    asks azure-identity's default chain. The environment never says where requests go: its
    connection string has to be for the account and the address that are configured.

    Attributes:
        account_name: The storage account; `accountname`. Needed unless `connection_string` has it.
        container: Name of the container, which has to be there.
        root_directory: What every blob's name begins with; `rootdirectory`.
        realm: Domain of the cloud, such as `core.chinacloudapi.cn`.
        endpoint: Address of the account's blob service, if it is not
            `https://{account_name}.blob.{realm}`, as an emulator's; `serviceurl`.
        public_endpoint: The same for signed URLs, if clients reach the service by another.
        account_key: Key of the account; `accountkey`.
        connection_string: Account, key or shared access signature, and endpoint in one text;
            `connectionstring`.
        sas_token: A shared access signature for the container or the account.
        anonymous: Sign nothing.
        credentials: See there.
        ca_file: Certificates to believe, if not the system's.
        max_connections: Requests at once, each on a connection; open readers have others beside
            them, which the middleware `limit` bounds.
        connect_timeout: Seconds to reach the service.
        read_timeout: Seconds in which the next byte of an answer has to come.
        copy_poll_delay: Seconds between two looks at a copy that takes time; grows to 5.
        max_retries: Not acted on: the `retry` middleware says it; `maxretries`.
        retry_delay: Not acted on: the `retry` middleware says it; `retrydelay`.
        copy_status_poll_max_retry: Not acted on: a copy is awaited until it ends or the caller's
            timeout ends it.
        copy_status_poll_delay: Not acted on: see `copy_poll_delay`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    account_name: Text = Field(None, validation_alias=AliasChoices("account_name", "accountname"))
    container: str = Field(min_length=3, max_length=63, pattern=r"^[$a-z0-9][a-z0-9-]*$")
    root_directory: str = Field(
        "", validation_alias=AliasChoices("root_directory", "rootdirectory")
    )
    realm: str = Field("core.windows.net", min_length=1)
    endpoint: Url = Field(None, validation_alias=AliasChoices("endpoint", "serviceurl"))
    public_endpoint: Url = None

    account_key: Secret = Field(None, validation_alias=AliasChoices("account_key", "accountkey"))
    connection_string: Secret = Field(
        None, validation_alias=AliasChoices("connection_string", "connectionstring")
    )
    sas_token: Secret = None
    anonymous: bool = False
    credentials: AzureCredentials = AzureCredentials()
    ca_file: Text = None

    max_connections: int = Field(64, ge=1)
    connect_timeout: float = Field(20.0, gt=0)
    read_timeout: float = Field(60.0, gt=0)
    copy_poll_delay: float = Field(0.1, gt=0)

    max_retries: int | None = Field(
        None, ge=0, validation_alias=AliasChoices("max_retries", "maxretries")
    )
    retry_delay: float | str | None = Field(
        None, validation_alias=AliasChoices("retry_delay", "retrydelay")
    )
    copy_status_poll_max_retry: int | None = None
    copy_status_poll_delay: float | str | None = None

    @model_validator(mode="after")
    def _has_an_account(self) -> AzureConfig:
        if self.account_name is None and self.connection_string is None:
            raise ValueError("account_name is missing, and connection_string, which could hold it")
        if self.credentials.type == "shared_key" and self.account_key is None:
            raise ValueError("credentials.type shared_key needs account_key")
        return self

    @property
    def can_sign(self) -> bool:
        """Whether URLs can be signed: with a key or a token, not with another's signature."""
        if self.connection_string is not None:
            return "accountkey=" in self.connection_string.get_secret_value().lower()
        return self.account_key is not None or not (self.sas_token or self.anonymous)
