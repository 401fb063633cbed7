"""Parameters of the driver."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from storagedriver_core import check_service_url
from storagedriver_s3._presets import PRESETS, Preset, PresetName

# Source: Amazon S3 User Guide, "Canned ACL".
CannedAcl = Literal[
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
]

_MIB = 1024 * 1024

# What no store of the kind takes. Amazon's rules for new buckets are narrower; upper case, `_` and
# 255 characters are names of old buckets there, and of any at Ceph.
# Source: Amazon S3 User Guide, "General purpose bucket naming rules"; Ceph's
# `rgw_relaxed_s3_bucket_names`. An access point is a resource name (ARN) in place of a bucket's.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}|arn:[^\s?#]+")

# Source: Amazon S3 User Guide, "Amazon S3 multipart upload limits".
MIN_PART_SIZE = 5 * _MIB


def _given(value: object) -> object:
    """Read empty text, which an unset variable leaves, as nothing given."""
    return None if value == "" else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Text = Annotated[str | None, BeforeValidator(_given)]
Secret = Annotated[SecretStr | None, BeforeValidator(_given)]


def _spelt(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class S3Config(BaseModel):
    """Which bucket, as whom, and how. docker/distribution's spellings are accepted as well.

    Attributes:
        bucket: Name of the bucket, which has to be there.
        root_directory: What every key begins with; `rootdirectory` is accepted as well.
        preset: What kind of store it is.
        region: Region of the bucket; without one the SDK's own settings say, then the preset.
        endpoint: URL of the store, if it is not Amazon's; `regionendpoint`.
        public_endpoint: URL that signed URLs are for, if clients reach the store by another.
        secure: HTTPS, where `endpoint` names no scheme.
        skip_verify: Believe any certificate; `skipverify`.
        force_path_style: Bucket in the path rather than in the host's name; `forcepathstyle`.
        access_key: With `secret_key` (and `session_token`) instead of the SDK's own chain:
            environment, profiles, web identity, container and instance roles; `accesskey`.
        secret_key: See `access_key`; `secretkey`.
        session_token: See `access_key`; `sessiontoken`.
        profile: Profile of the SDK's shared files.
        anonymous: Sign nothing.
        encrypt: Demand encryption at rest.
        kms_key_id: Key of it in KMS; `keyid`. Without one S3's own.
        storage_class: Storage class of new objects; `storageclass`.
        acl: Canned ACL of new objects; `objectacl`.
        connect_timeout: Seconds to reach the store.
        read_timeout: Seconds in which the next byte of an answer has to come.
        max_connections: Requests at once, each on a connection; open readers have others beside
            them, which the middleware `limit` bounds.
        payload_signing: Sign the bytes of objects too: always, never, or (not given) where the
            connection is not encrypted.
        min_part_size: Bytes of a part of an upload at least, where the store has another limit than
            Amazon: Ceph's `rgw_multipart_min_part_size`, Swift's `min_segment_size`.
        multipart_copy_threshold: Bytes over which a copy goes in parts;
            `multipartcopythresholdsize`.
        user_agent: Put after the driver's own in requests; `useragent`.
        use_dualstack: Amazon's endpoints for IPv6; `usedualstack`.
        accelerate: Amazon's transfer acceleration.
        use_fips: Amazon's FIPS endpoints; `usefipsendpoint`.
        v4auth: Only true: version 2 signatures are not made.
        chunksize: Not acted on: the storage's `part_size` says it.
        multipartcopychunksize: Not acted on: the storage's `part_size` says it.
        multipartcopymaxconcurrency: Not acted on: as many as parts of any upload.
        loglevel: `debug` leaves the SDK's DEBUG log on, which shows what requests carry; else it is
            off, unless its loggers have a level already.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    bucket: str
    root_directory: str = Field("", validation_alias=_spelt("root_directory", "rootdirectory"))
    preset: PresetName = "aws"

    region: Text = None
    endpoint: Text = Field(None, validation_alias=_spelt("endpoint", "regionendpoint"))
    public_endpoint: Text = None
    secure: bool = True
    skip_verify: bool = Field(False, validation_alias=_spelt("skip_verify", "skipverify"))
    force_path_style: bool | None = Field(
        None, validation_alias=_spelt("force_path_style", "forcepathstyle")
    )

    access_key: Secret = Field(None, validation_alias=_spelt("access_key", "accesskey"))
    secret_key: Secret = Field(None, validation_alias=_spelt("secret_key", "secretkey"))
    session_token: Secret = Field(None, validation_alias=_spelt("session_token", "sessiontoken"))
    profile: Text = None
    anonymous: bool = False

    encrypt: bool = False
    kms_key_id: Text = Field(None, validation_alias=_spelt("kms_key_id", "keyid"))
    storage_class: Annotated[str | None, BeforeValidator(_given), BeforeValidator(_upper)] = Field(
        None, validation_alias=_spelt("storage_class", "storageclass")
    )
    acl: Annotated[CannedAcl | None, BeforeValidator(_given)] = Field(
        None, validation_alias=_spelt("acl", "objectacl")
    )

    connect_timeout: float = Field(5.0, gt=0)
    read_timeout: float = Field(60.0, gt=0)
    max_connections: int = Field(128, ge=1)
    payload_signing: bool | None = None
    min_part_size: int = Field(MIN_PART_SIZE, ge=1, le=1024 * _MIB)
    multipart_copy_threshold: int | None = Field(
        None,
        ge=MIN_PART_SIZE,
        validation_alias=_spelt("multipart_copy_threshold", "multipartcopythresholdsize"),
    )
    user_agent: Text = Field(None, validation_alias=_spelt("user_agent", "useragent"))
    use_dualstack: bool = Field(False, validation_alias=_spelt("use_dualstack", "usedualstack"))
    accelerate: bool = False
    use_fips: bool = Field(False, validation_alias=_spelt("use_fips", "usefipsendpoint"))

    v4auth: Literal[True] = True
    chunksize: int | None = Field(None, ge=MIN_PART_SIZE)
    multipartcopychunksize: int | None = Field(None, ge=MIN_PART_SIZE)
    multipartcopymaxconcurrency: int | None = Field(None, ge=1)
    loglevel: str | bool | None = None

    @field_validator("bucket")
    @classmethod
    def _check_bucket(cls, name: str) -> str:
        if _BUCKET.fullmatch(name) is None:
            raise ValueError("a bucket's name is 3 to 255 letters, digits, '.', '-' and '_'")
        return name

    @field_validator("endpoint", "public_endpoint")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None:
            check_service_url(url if "://" in url else f"https://{url}")
        return url

    @field_validator("acl", "encrypt", "storage_class")
    @classmethod
    def _is_supported(cls, value: object, info: ValidationInfo) -> object:
        preset: PresetName = info.data.get("preset", "aws")
        traits = PRESETS[preset]
        supported = {
            "acl": traits.acl or value in (None, "private"),
            "encrypt": traits.encryption or not value,
            "storage_class": traits.storage_class or value in (None, "NONE"),
        }
        if not supported[str(info.field_name)]:
            raise ValueError(f"not supported by the preset {preset!r}")
        return value

    @model_validator(mode="after")
    def _check(self) -> S3Config:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key come together")
        if self.session_token is not None and self.access_key is None:
            raise ValueError("session_token needs access_key and secret_key")
        if self.anonymous and (self.access_key is not None or self.profile is not None):
            raise ValueError("anonymous goes without access_key and profile")
        if "//" in self.root_directory.strip("/"):
            raise ValueError("root_directory holds an empty component")
        return self

    @property
    def traits(self) -> Preset:
        """How the store behaves."""
        return PRESETS[self.preset]

    @property
    def endpoint_url(self) -> str | None:
        """URL of the store; None for Amazon's."""
        return self._with_scheme(self.endpoint)

    @property
    def public_url(self) -> str | None:
        """URL that signed URLs are for; None for the store's own."""
        return self._with_scheme(self.public_endpoint)

    @property
    def is_path_style(self) -> bool:
        """Whether the bucket is in the path."""
        return self.traits.path_style if self.force_path_style is None else self.force_path_style

    def _with_scheme(self, url: str | None) -> str | None:
        if url is None or "://" in url:
            return url
        return f"{'https' if self.secure else 'http'}://{url}"
