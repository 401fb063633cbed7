"""The tables of errors: complete for what the libraries raise, and silent about their texts."""

from __future__ import annotations

import builtins
import errno
import ftplib
import importlib
import socket

import pytest
from storagedriver_fsspec._errors import (
    CLASS_TYPES,
    ERRNO_TYPES,
    STATUS_TYPES,
    WRITE_ERRNO_TYPES,
    RefusedError,
    from_status,
    translate,
)

from storagedriver_core import (
    AlreadyExistsError,
    AuthenticationError,
    ConflictError,
    NoSpaceError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
)


@pytest.mark.parametrize("code", [*ERRNO_TYPES, *WRITE_ERRNO_TYPES])
def test_errno_becomes_its_error(code: int) -> None:
    kind, message = ERRNO_TYPES[code]
    found = translate(OSError(code, "secret text"))
    assert type(found) is kind and found.message == message
    write_kind = WRITE_ERRNO_TYPES.get(code, ERRNO_TYPES[code])[0]
    assert type(translate(OSError(code, "secret"), writing=True)) is write_kind


@pytest.mark.parametrize(("package", "name"), CLASS_TYPES)
def test_class_of_the_table_is_one_of_its_package(package: str, name: str) -> None:
    modules = {"paramiko": "paramiko.ssh_exception", "botocore": "botocore.exceptions"}
    module = (
        "paramiko" if name in ("SFTPError", "UnknownKeyType") else modules.get(package, package)
    )
    assert issubclass(getattr(importlib.import_module(module), name), builtins.Exception)


def exceptions_of_paramiko() -> list[type[Exception]]:
    import paramiko

    return [
        each
        for each in vars(paramiko).values()
        if isinstance(each, type) and issubclass(each, Exception)
    ]


def exceptions_of_httpx() -> list[type[Exception]]:
    import httpx

    return [
        each
        for each in vars(httpx).values()
        if isinstance(each, type) and issubclass(each, httpx.TransportError | httpx.StreamError)
    ]


def exceptions_of_botocore() -> list[type[Exception]]:
    from botocore import exceptions

    return [
        each
        for each in vars(exceptions).values()
        if isinstance(each, type)
        and issubclass(each, exceptions.ConnectionError | exceptions.HTTPClientError)
    ]


@pytest.mark.parametrize(
    "kind", [*exceptions_of_paramiko(), *exceptions_of_httpx(), *exceptions_of_botocore()]
)
def test_every_exception_of_the_libraries_has_an_error(kind: type[Exception]) -> None:
    found = translate(kind.__new__(kind))
    assert type(found) is not StorageDriverError
    assert isinstance(found, StorageDriverError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError("x"), PathNotFoundError),
        (FileExistsError("x"), AlreadyExistsError),
        (PermissionError("x"), PermissionDeniedError),
        (IsADirectoryError("x"), PathNotFoundError),
        (TimeoutError("x"), OperationTimeoutError),
        (ConnectionResetError("x"), UnavailableError),
        (socket.gaierror(-2, "x"), UnavailableError),
        (EOFError("x"), UnavailableError),
        (OSError("Failure"), RefusedError),
        (ftplib.error_perm("550 x"), RefusedError),
        (OSError(errno.ENOSPC, "x"), NoSpaceError),
        (RuntimeError("x"), StorageDriverError),
    ],
)
def test_exceptions_without_a_number_go_by_their_class(
    error: Exception, expected: type[StorageDriverError]
) -> None:
    assert type(translate(error)) is expected


def test_directory_in_the_way_of_a_write_is_a_conflict() -> None:
    assert type(translate(IsADirectoryError("x"), writing=True)) is ConflictError


def test_no_text_of_a_library_is_repeated() -> None:
    secret = "https://user:hunter2@host/"
    for error in (OSError(errno.EIO, secret), ValueError(secret), ConnectionError(secret)):
        found = translate(error, writing=True, changing=True)
        assert "hunter2" not in str(found) + repr(found)


def test_lost_reply_to_a_change_leaves_it_unknown_and_one_that_never_left_does_not() -> None:
    import botocore.exceptions
    import httpx

    request = httpx.Request("MOVE", "http://x")
    assert translate(httpx.ReadError("x", request=request), changing=True).outcome == "unknown"
    assert translate(httpx.ConnectError("x", request=request), changing=True).outcome == "none"
    assert translate(httpx.ReadError("x", request=request)).outcome == "none"
    endpoint = botocore.exceptions.EndpointConnectionError(endpoint_url="x", error="x")
    assert translate(endpoint, changing=True).outcome == "none"
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "x")
    assert translate(refused, changing=True).outcome == "none"


@pytest.mark.parametrize("status", STATUS_TYPES)
def test_status_becomes_its_error(status: int) -> None:
    assert type(from_status(status)) is STATUS_TYPES[status][0]


def test_other_statuses() -> None:
    assert isinstance(from_status(401), AuthenticationError)
    busy = from_status(503, retry_after="7")
    assert isinstance(busy, ThrottledError) and busy.retry_after == 7.0
    failed = from_status(502, changing=True)
    assert isinstance(failed, UnavailableError) and failed.outcome == "unknown"
    assert type(from_status(418)) is StorageDriverError
