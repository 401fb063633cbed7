"""Parameters of the driver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from storagedriver_core import check_service_url

CHUNK_UNIT = 256 * 1024
"""Bytes that every chunk of an upload but the last is a multiple of."""

GOOGLE = "https://storage.googleapis.com"


def _given(value: object) -> object:
    """Read empty text, which an unset variable leaves, as nothing given."""
    return None if value == "" else value


def _as_text(value: object) -> object:
    """Read a mapping, as docker/distribution has it, as the JSON that a key file holds."""
    return json.dumps(dict(value)) if isinstance(value, Mapping) else _given(value)


Text = Annotated[str | None, BeforeValidator(_given)]


class GcsConfig(BaseModel):
    """Which bucket, as whom, and how. docker/distribution's spellings are accepted as well.

    Attributes:
        bucket: Name of the bucket, which has to be there.
        root_directory: What every name begins with; `rootdirectory`.
        keyfile: Path of a service account's key, or of another credentials file of Google's tools.
        credentials: The content of such a file, as a mapping or text, if there is no `keyfile`.
        identity: Where credentials come from without these two. `google_default` is
            Google's own chain (`GOOGLE_APPLICATION_CREDENTIALS`, `gcloud`, workload identity, the
            metadata server), `cloud` the metadata server alone, `anon` none at all;
            `credentials_source`.
        project: Project; billed where the bucket makes requesters pay.
        requester_pays: Let `project` pay for requests.
        endpoint: URL of the service, if it is not Google's.
        public_endpoint: URL that signed URLs are for, if clients reach the service by another.
        chunksize: Least bytes of a chunk of an upload; a multiple of 256 KiB.
        maxconcurrency: Requests at once, each on a connection; open readers have others beside
            them, which the middleware `limit` bounds.
        connect_timeout: Seconds to reach the service.
        read_timeout: Seconds in which the next byte of an answer has to come.
        user_agent: Put after the driver's own in requests; `useragent`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    bucket: str = Field(min_length=1)
    root_directory: str = Field(
        "", validation_alias=AliasChoices("root_directory", "rootdirectory")
    )
    keyfile: Text = None
    credentials: Annotated[SecretStr | None, BeforeValidator(_as_text)] = None
    identity: Literal["google_default", "cloud", "anon"] = Field(
        "google_default", validation_alias=AliasChoices("identity", "credentials_source")
    )
    project: Text = None
    requester_pays: bool = False
    endpoint: Text = None
    public_endpoint: Text = None
    chunksize: int = Field(CHUNK_UNIT, ge=CHUNK_UNIT, multiple_of=CHUNK_UNIT)
    maxconcurrency: int = Field(100, ge=1)
    connect_timeout: float = Field(10.0, gt=0)
    read_timeout: float = Field(60.0, gt=0)
    user_agent: Text = Field(None, validation_alias=AliasChoices("user_agent", "useragent"))

    @field_validator("endpoint", "public_endpoint")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        return None if url is None else check_service_url(url)

    @field_validator("root_directory")
    @classmethod
    def _check_root(cls, root: str) -> str:
        parts = root.strip("/").split("/")
        if root.strip("/") and any(part in ("", ".", "..") for part in parts):
            raise ValueError("holds an empty component, '.' or '..'")
        return root

    @model_validator(mode="after")
    def _check(self) -> GcsConfig:
        if self.requester_pays and self.project is None:
            raise ValueError("requester_pays needs project")
        return self

    @property
    def has_key(self) -> bool:
        """Whether credentials are given here rather than found."""
        return self.keyfile is not None or self.credentials is not None

    @property
    def is_anonymous(self) -> bool:
        """Whether requests carry no credentials."""
        return self.identity == "anon" and not self.has_key

    @property
    def url(self) -> str:
        """URL of the service, without a slash at the end."""
        return (self.endpoint or GOOGLE).rstrip("/")

    @property
    def public_url(self) -> str:
        """URL that signed URLs are for, without a slash at the end."""
        return (self.public_endpoint or self.url).rstrip("/")

    @property
    def prefix(self) -> str:
        """What the name of every object begins with: empty, or with a slash at the end."""
        root = self.root_directory.strip("/")
        return f"{root}/" if root else ""
