"""Refuses whatever would change the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NoReturn

from pydantic import BaseModel, ConfigDict

from storagedriver_core._driver import StorageDriver
from storagedriver_core._errors import UnsupportedMethodError
from storagedriver_core._types import (
    Buffer,
    CompleteOptions,
    DeleteReport,
    FileInfo,
    Part,
    PutOptions,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
)
from storagedriver_core.middleware._wrapper import DriverMiddleware

_WRITING = (
    "put_if_absent",
    "put_if_match",
    "put_with_metadata",
    "copy",
    "copy_if_absent",
    "move_if_absent",
    "copy_part",
    "upload",
    "upload_out_of_order",
    "list_uploads",
    "sign_put",
    "sign_put_with_content_type",
    "late_target",
)


class ReadOnlyParameters(BaseModel):
    """Parameters of `readonly`: it has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadOnlyMiddleware(DriverMiddleware):
    """Lets through what reads, and sends nothing of the rest.

    No verb that writes is declared. What the contract always has, puts, moves and deletes, raises
    `UnsupportedMethodError`, also where there would be nothing to do. Uploads in progress are as if
    they were not there.
    """

    def __init__(self, driver: StorageDriver, parameters: ReadOnlyParameters) -> None:
        super().__init__(driver, narrow=dict.fromkeys(_WRITING, False))

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        _refuse()

    async def delete(self, path: str) -> None:
        _refuse()

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        _refuse()

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        _refuse()

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        _refuse()

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        _refuse()

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        _refuse()

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        _refuse()

    async def sync_upload(self, upload: Upload) -> None:
        _refuse()

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        _refuse()

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        _refuse()

    async def abort_upload(self, upload: Upload) -> None:
        _refuse()

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        _refuse()


def _refuse() -> NoReturn:
    raise UnsupportedMethodError("the storage is read-only")
