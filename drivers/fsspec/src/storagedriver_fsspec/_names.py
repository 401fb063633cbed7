"""Names of files that are not objects yet."""

from __future__ import annotations

import datetime as clock
import re
import secrets
from contextlib import suppress
from urllib.parse import quote, unquote

from storagedriver_core import (
    INTERNAL_COMPONENT,
    PathNotFoundError,
    Upload,
    UploadInfo,
    UploadNotFoundError,
)
from storagedriver_fsspec._files import Files

PUTS = f"/{INTERNAL_COMPONENT}/puts"
UPLOADS = f"/{INTERNAL_COMPONENT}/uploads"

SEEN = "seen"
"""Key of an upload's data, from a listing: path of the file that says who has the upload."""

LONG_AGO = clock.datetime.fromtimestamp(0, clock.UTC)

_ID_LENGTH = 32
_MAX_NAME_LENGTH = 180
"""What leaves room, in a component of 255 bytes, for what uploads append."""

# No more than `new_name` gives: a `%2F` would be a slash to some servers.
_NAME = re.compile(r"[0-9a-f]{32}(\+[0-9A-Za-z_.=+-]*)?")
_REST = re.compile(r"[0-9A-Za-z_.~-]*")


def new_name(path: str | None = None) -> str:
    """Give a new name, with the path that the file is for, where it fits."""
    unique = secrets.token_hex(_ID_LENGTH // 2)
    if path is None:
        return unique
    # `=` in place of `%`, which some servers decode once too often.
    quoted = quote(path, safe="/").replace("~", "%7E").replace("%", "=").replace("/", "+")
    return unique + quoted if len(quoted) + _ID_LENGTH <= _MAX_NAME_LENGTH else unique


def is_name(name: str) -> bool:
    """Tell whether `new_name` can have given it."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """Refuse a name, of a forged token or request, with which it would lead elsewhere.

    Raises:
        UploadNotFoundError: `new_name` cannot have given it.
    """
    if not is_name(name):
        raise UploadNotFoundError
    return name


def checked_rest(rest: str) -> str:
    """Refuse what is to follow a name in a path, such as a holder, if it would lead elsewhere.

    Raises:
        UploadNotFoundError: It holds more than letters, digits and `_.~-`.
    """
    if not _REST.fullmatch(rest):
        raise UploadNotFoundError
    return rest


def seen_of(upload: Upload) -> str | None:
    """Give the path that a listing has seen of the upload; None if it is not from a listing.

    Raises:
        UploadNotFoundError: A listing cannot have seen it: it is not one of the upload's own files.
    """
    seen = upload.data.get(SEEN)
    if seen is None:
        return None
    for directory in (UPLOADS, PUTS):
        own = f"{directory}/{checked_name(upload.upload_id)}"
        # A file beside others, or one in a directory of the upload's.
        for start in (f"{own}~", f"{own}/head~", f"{own}/done~"):
            if seen.startswith(start):
                checked_rest(seen.removeprefix(start))
                return seen
        if seen == own:
            return seen
    raise UploadNotFoundError


def path_of(name: str) -> str:
    """Give the path that a name holds, or else that of the file itself."""
    quoted = name[_ID_LENGTH:]
    if not quoted:
        return f"{UPLOADS}/{name}"
    return unquote(quoted.replace("+", "/").replace("=", "%"))


async def files_as_uploads(files: Files, directory: str) -> list[UploadInfo]:
    """Give each file in one of the driver's own directories as an upload."""
    found = []
    with suppress(PathNotFoundError):
        for each in await files.children(directory):
            upload_id = each.path.rpartition("/")[2].partition("~")[0]
            if not each.is_dir and is_name(upload_id):
                time = each.mod_time or LONG_AGO
                upload = Upload(path_of(upload_id), upload_id, data={SEEN: each.path})
                found.append(UploadInfo(upload, time, time, each.size))
    return found
