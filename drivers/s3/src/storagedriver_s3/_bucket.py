"""One bucket: calls of the SDK, with its errors translated, and what every write carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storagedriver_core import (
    ClosedError,
    Conditions,
    FileInfo,
    PathNotFoundError,
    PermissionDeniedError,
    PutOptions,
    StorageDriverError,
    UploadOptions,
)
from storagedriver_s3._client import Connection
from storagedriver_s3._config import S3Config
from storagedriver_s3._errors import code_of, translating
from storagedriver_s3._info import NO_CONTENT_TYPE, conditions_for, info_of, require
from storagedriver_s3._keys import Keys

# An answer to HEAD has no body, so these say little.
_UNEXPLAINED = ("400", "401", "403", "Forbidden", "301")


class Bucket:
    """The bucket that a configuration names, connected between `open` and `aclose`.

    Attributes:
        config: The configuration.
        keys: Paths to keys and back.
        protection: Encryption, access control and storage class: every request that makes an object
            has to carry them, since none of them is inherited.
    """

    def __init__(self, config: S3Config) -> None:
        self.config = config
        self.keys = Keys(config.root_directory, config.traits.max_key_bytes)
        self.protection = _protection(config)
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection.

        Raises:
            ClosedError: The driver is not open.
        """
        if self._connection is None:
            raise ClosedError("the driver is not open")
        return self._connection

    async def open(self) -> None:
        """Connect."""
        with translating(changes=False):
            self._connection = await Connection.open(self.config, self.config.endpoint_url)

    async def aclose(self) -> None:
        """Disconnect. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    async def read(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Make a call that changes nothing."""
        with translating(changes=False):
            return await self.connection.call(method, parameters)

    async def get(self, path: str) -> tuple[dict[str, Any], bytes]:
        """Get the whole file `path`: the SDK's answer, and the bytes."""
        with translating(changes=False):
            return await self.connection.get_object(self.keys.key(path))

    async def change(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Make a call that changes something: a lost answer leaves it unknown."""
        with translating(changes=True):
            return await self.connection.call(method, parameters)

    async def head(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        """Look at the file `path`.

        Raises:
            PathNotFoundError: There is none.
            ConflictError: The conditions do not hold.
        """
        response = await self.raw_head(path, conditions)
        info = info_of(path, response, response["ContentLength"])
        require(conditions, info)
        return info

    async def raw_head(self, path: str, conditions: Conditions | None = None) -> dict[str, Any]:
        """Look at the file `path`, and give the SDK's answer."""
        key = self.keys.key(path)
        try:
            return await self.read("head_object", Key=key, **conditions_for(conditions))
        except StorageDriverError as error:
            if code_of(error) not in _UNEXPLAINED:
                raise
            # Raises what is behind it, unless objects may be listed and not read.
            await self.first_key(key)
            if isinstance(error, PermissionDeniedError):
                raise
            raise PermissionDeniedError(error.message) from error

    async def has_directory(self, path: str) -> bool:
        """Tell whether anything lies below `path`."""
        return await self.first_key(self.keys.prefix(path)) is not None

    async def first_key(self, prefix: str) -> str | None:
        """Give the first key that begins with `prefix`."""
        contents = (await self.list_one(prefix)).get("Contents")
        return contents[0]["Key"] if contents else None

    async def list_one(self, prefix: str) -> dict[str, Any]:
        """Ask for the first key that begins with `prefix`: the cheapest request that has a body."""
        method = "list_objects_v2" if self.config.traits.list_version == 2 else "list_objects"
        return await self.read(method, Prefix=prefix, MaxKeys=1)

    async def is_file(self, path: str) -> bool:
        """Tell whether there is a file at `path`."""
        try:
            await self.raw_head(path)
        except PathNotFoundError:
            return False
        return True

    def description(self, options: PutOptions | UploadOptions) -> dict[str, Any]:
        """Give the parameters of a new object: what it is, and how it is protected."""
        return {
            "ContentType": options.content_type or NO_CONTENT_TYPE,
            "Metadata": dict(options.metadata),
            **self.protection,
        }


def _protection(config: S3Config) -> Mapping[str, str]:
    parameters = {}
    if config.encrypt:
        parameters["ServerSideEncryption"] = "aws:kms" if config.kms_key_id else "AES256"
        if config.kms_key_id:
            parameters["SSEKMSKeyId"] = config.kms_key_id
    if config.storage_class not in (None, "NONE"):
        parameters["StorageClass"] = str(config.storage_class)
    if config.acl is not None:
        parameters["ACL"] = config.acl
    return parameters
