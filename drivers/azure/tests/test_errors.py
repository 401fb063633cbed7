"""Translation of failures: complete, of the right kind, and with the right outcome."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from azure.core import exceptions as azure
from azure.storage.blob import StorageErrorCode
from storagedriver_azure._errors import CODES, FAILURES, from_answer, from_failure

from storagedriver_core import (
    AlreadyExistsError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NoSpaceError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
)

# What the SDK's list holds of services and operations that the driver has nothing to do with.
ELSEWHERE = {
    # queues
    "MessageNotFound MessageTooLarge PopReceiptMismatch QueueAlreadyExists QueueBeingDeleted",
    "QueueDisabled QueueNotEmpty QueueNotFound",
    # files and shares
    "CannotDeleteFileOrDirectory ClientCacheFlushDelay ContainerQuotaDowngradeNotAllowed",
    "DeletePending DirectoryNotEmpty FileLockConflict",
    "FileShareProvisionedBandwidthDowngradeNotAllowed FileShareProvisionedBandwidthInvalid",
    "FileShareProvisionedIopsDowngradeNotAllowed FileShareProvisionedIopsInvalid",
    "FileShareProvisionedStorageInvalid InvalidFileOrDirectoryPathName ParentNotFound",
    "ReadOnlyAttribute ShareAlreadyExists ShareBeingDeleted ShareDisabled ShareNotFound",
    "SharingViolation ShareSnapshotInProgress ShareSnapshotCountExceeded ShareSnapshotNotFound",
    "ShareSnapshotOperationNotSupported ShareHasSnapshots",
    "TotalSharesProvisionedCapacityExceedsAccountLimit",
    "TotalSharesProvisionedIopsExceedsAccountLimit",
    "TotalSharesProvisionedBandwidthExceedsAccountLimit TotalSharesCountExceedsAccountLimit",
    # the data lake's own interface
    "ContentLengthMustBeZero PathAlreadyExists InvalidFlushPosition InvalidPropertyName",
    "InvalidSourceUri UnsupportedRestVersion FilesystemNotFound PathNotFound",
    "RenameDestinationParentPathNotFound SourcePathNotFound DestinationPathIsBeingDeleted",
    "FilesystemAlreadyExists FilesystemBeingDeleted InvalidDestinationPath",
    "InvalidRenameSourcePath InvalidSourceOrDestinationResourceType LeaseIsAlreadyBroken",
    "LeaseNameMismatch PathConflict SourcePathIsBeingDeleted",
    # accounts, append blobs, page blobs, tiers, snapshots, and the calls about leases
    "AccountAlreadyExists AppendPositionConditionNotMet",
    "BlobAccessTierNotSupportedForAccountType BlobTierInadequateForContentLength",
    "CannotChangeToLowerTier ContentLengthLargerThanTierLimit CopyAcrossAccountsNotSupported",
    "IncrementalCopyBlobMismatch IncrementalCopyOfEarlierSnapshotNotAllowed",
    "IncrementalCopyOfEarlierVersionSnapshotNotAllowed IncrementalCopySourceMustBeSnapshot",
    "InfiniteLeaseDurationRequired InvalidBlobTier InvalidPageRange",
    "InvalidVersionForPageBlobOperation LeaseIdMismatchWithLeaseOperation",
    "LeaseIsBreakingAndCannotBeAcquired LeaseIsBreakingAndCannotBeChanged",
    "LeaseIsBrokenAndCannotBeRenewed LeaseNotPresentWithLeaseOperation",
    "MaxBlobSizeConditionNotMet OperationNotAllowedOnIncrementalCopyBlob",
    "PreviousSnapshotCannotBeNewer PreviousSnapshotNotFound",
    "PreviousSnapshotOperationNotSupported SequenceNumberConditionNotMet",
    "SequenceNumberIncrementTooLarge SnapshotOperationRateExceeded",
}


def answer(
    status: int, code: str = "", *, changes: bool = False, **more: str
) -> StorageDriverError:
    headers = {"x-ms-error-code": code} if code else {}
    headers.update({name.replace("_", "-"): value for name, value in more.items()})
    return from_answer(status, headers, changes=changes)


def test_table_knows_every_code_of_the_sdk_that_can_come() -> None:
    elsewhere = {code for line in ELSEWHERE for code in line.split()}
    known = {str(code.value) for code in StorageErrorCode}
    assert known - set(CODES) == elsewhere
    for code in CODES:
        assert isinstance(answer(400, code), StorageDriverError)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "NoAuthenticationInformation", AuthenticationError),
        (403, "AuthenticationFailed", AuthenticationError),
        (401, "", AuthenticationError),
        (403, "AuthorizationFailure", PermissionDeniedError),
        (403, "AuthorizationPermissionMismatch", PermissionDeniedError),
        (403, "", PermissionDeniedError),
        (404, "ContainerNotFound", ConfigurationError),
        (404, "BlobNotFound", PathNotFoundError),
        (404, "", UnavailableError),
        (409, "BlobAlreadyExists", AlreadyExistsError),
        (409, "", ConflictError),
        (412, "ConditionNotMet", ConflictError),
        (304, "", ConflictError),
        (500, "OperationTimedOut", OperationTimeoutError),
        (500, "InternalError", UnavailableError),
        (502, "", UnavailableError),
        (503, "ServerBusy", ThrottledError),
        (503, "", ThrottledError),
        (429, "", ThrottledError),
        (507, "", NoSpaceError),
    ],
)
def test_answers_become_what_they_mean(
    status: int, code: str, kind: type[StorageDriverError]
) -> None:
    assert type(answer(status, code)) is kind


def test_outcome_is_unknown_where_a_change_may_have_been_made() -> None:
    assert answer(500, "InternalError", changes=True).outcome == "unknown"
    assert answer(500, "InternalError").outcome == "none"
    assert answer(503, "ServerBusy", changes=True).outcome == "none"
    assert answer(409, "BlobAlreadyExists", changes=True).outcome == "none"
    lost = aiohttp.ServerDisconnectedError()
    assert from_failure(lost, changes=True).outcome == "unknown"
    assert from_failure(lost).outcome == "none"
    assert from_failure(TimeoutError(), changes=True).outcome == "unknown"
    refused = aiohttp.ClientConnectorError(_key(), OSError(111, "Connection refused"))
    assert from_failure(refused, changes=True).outcome == "none"


def test_retry_after_is_read_in_each_of_its_forms() -> None:
    def seconds(**headers: str) -> float | None:
        error = answer(503, "", changes=False, **headers)
        assert isinstance(error, ThrottledError)
        return error.retry_after

    assert seconds(retry_after="7") == 7
    assert seconds(x_ms_retry_after_ms="1500") == 1.5
    assert seconds() is None
    assert seconds(retry_after="soon") is None
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    found = seconds(retry_after=later)
    assert found is not None
    assert 55 < found <= 60


def test_every_failure_of_the_clients_is_translated() -> None:
    made = [*_instances(aiohttp.client_exceptions, aiohttp.ClientError)]
    made += _instances(azure, azure.AzureError)
    made += [TimeoutError(), ConnectionResetError(), aiohttp.ConnectionTimeoutError()]
    assert len(made) > 30
    for failure in made:
        assert isinstance(failure, FAILURES)
        translated = from_failure(failure)
        assert isinstance(translated, StorageDriverError)
        wrong_credentials = isinstance(failure, azure.ClientAuthenticationError)
        assert isinstance(translated, AuthenticationError) == wrong_credentials
    assert isinstance(from_failure(TimeoutError()), OperationTimeoutError)


_RESPONSE = SimpleNamespace(
    status_code=500,
    reason="reason",
    headers={},
    request=None,
    body=lambda: b"{}",
    text=lambda: "{}",
)


def _key() -> Any:
    return aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)


def _instances(module: Any, base: type[Exception]) -> list[Exception]:
    """Make one of each error of a module, however many arguments it wants."""
    made: list[Exception] = []
    arguments: tuple[Any, ...]
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if not issubclass(kind, base):
            continue
        for arguments in (
            (),
            ("text",),
            (_key(), OSError(1, "x")),
            (None, ()),
            ("a", "b"),
            (b"a", b"b", "host", 1),
            ("/socket", _key(), OSError(1, "x")),
            (_RESPONSE,),
        ):
            try:
                failure = kind(*arguments)
            except Exception:
                continue
            made.append(failure)
            break
        else:
            if "certificate" not in kind.__name__.lower():
                raise AssertionError(f"{kind.__name__} was not made")
    return made
