"""The table from errno to the error tree."""

from __future__ import annotations

import errno

import pytest
from storagedriver_filesystem._errors import (
    ERROR_TYPES,
    WRITE_ERROR_TYPES,
    translate,
    translating,
)

from storagedriver_core import (
    ConflictError,
    PathNotFoundError,
    StorageDriverError,
    UnavailableError,
)

# The ERRORS sections of the manual pages (Linux man-pages 6.9) of the calls that the driver makes,
# without those that only a bug of the driver can cause.
MANUAL = {
    "openat2": "EACCES EBUSY EDQUOT EEXIST EFBIG EINTR EISDIR ELOOP EMFILE ENAMETOOLONG ENFILE "
    "ENODEV ENOENT ENOMEM ENOSPC ENOTDIR ENXIO EOPNOTSUPP EPERM EROFS ETXTBSY EXDEV EAGAIN ENOSYS",
    "read": "EAGAIN EINTR EIO EISDIR",
    "write": "EAGAIN EDQUOT EFBIG EINTR EIO ENOSPC EPERM",
    "fsync": "EDQUOT EINTR EIO ENOSPC EROFS",
    "stat": "EACCES ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR",
    "rename": "EACCES EBUSY EDQUOT EISDIR ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM ENOSPC ENOTDIR "
    "ENOTEMPTY EEXIST EPERM EROFS EXDEV",
    "mkdir": "EACCES EDQUOT EEXIST ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM ENOSPC ENOTDIR EPERM "
    "EROFS",
    "rmdir": "EACCES EBUSY ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR ENOTEMPTY EPERM EROFS",
    "unlink": "EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS",
    "flock": "EINTR ENOLCK EAGAIN",
    "ftruncate": "EFBIG EINTR EIO EPERM EROFS ETXTBSY",
    "utimensat": "EACCES ELOOP ENAMETOOLONG ENOENT ENOTDIR EPERM EROFS",
    "setxattr": "EDQUOT ENOSPC EOPNOTSUPP EPERM",
    "getxattr": "EOPNOTSUPP",
    "copy_file_range": "EFBIG EIO EISDIR ENOMEM ENOSPC EOPNOTSUPP EPERM ETXTBSY EXDEV",
    "fadvise": "",
    "nfs": "ESTALE ETIMEDOUT EIO ENOBUFS",
    "names": "EILSEQ",
}


@pytest.mark.parametrize("call", MANUAL)
def test_table_has_every_error_of_the_manual(call: str) -> None:
    missing = [name for name in MANUAL[call].split() if getattr(errno, name) not in ERROR_TYPES]
    assert missing == []


def test_table_has_nothing_that_no_call_raises() -> None:
    known = {getattr(errno, name) for names in MANUAL.values() for name in names.split()}
    assert [errno.errorcode[code] for code in ERROR_TYPES if code not in known] == []


@pytest.mark.parametrize("code", [*ERROR_TYPES, *WRITE_ERROR_TYPES])
@pytest.mark.parametrize("writing", [False, True])
def test_each_error_has_its_type_path_and_cause(code: int, writing: bool) -> None:
    original = OSError(code, "text of the system")
    with pytest.raises(StorageDriverError) as raised, translating(writing=writing, path="/a"):
        raise original
    table = WRITE_ERROR_TYPES if writing and code in WRITE_ERROR_TYPES else ERROR_TYPES
    assert type(raised.value) is table[code][0]
    assert raised.value.path == "/a"
    assert raised.value.__cause__ is original
    assert raised.value.temporary is (table[code][0] is UnavailableError)


@pytest.mark.parametrize("code", [errno.ENOTDIR, errno.EISDIR])
def test_the_wrong_kind_is_missing_for_a_reader_and_in_the_way_of_a_writer(code: int) -> None:
    assert type(translate(OSError(code, ""), writing=False)) is PathNotFoundError
    assert type(translate(OSError(code, ""), writing=True)) is ConflictError


def test_unknown_error_is_named_and_not_called_temporary() -> None:
    error = translate(OSError(errno.EBADF, ""), writing=False)
    assert type(error) is StorageDriverError
    assert "EBADF" in str(error)
    assert not error.temporary


def test_error_of_the_contract_passes_as_it_is() -> None:
    # PathNotFoundError is an OSError without an errno.
    original = PathNotFoundError(path="/b")
    with pytest.raises(PathNotFoundError) as raised, translating(writing=True, path="/a"):
        raise original
    assert raised.value is original
