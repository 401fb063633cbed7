"""Names of files that are not objects yet."""

from __future__ import annotations

import datetime as clock
import re
import secrets
from contextlib import suppress
from urllib.parse import quote, unquote

from storagedriver_core import INTERNAL_COMPONENT, PathNotFoundError, Upload, UploadInfo
from storagedriver_fsspec._files import Files

PUTS = f"/{INTERNAL_COMPONENT}/puts"
UPLOADS = f"/{INTERNAL_COMPONENT}/uploads"

SEEN = "seen"
"""Key of an upload's data, from a listing: path of the file that says who has the upload."""

LONG_AGO = clock.datetime.fromtimestamp(0, clock.UTC)

_ID_LENGTH = 32
_MAX_NAME_LENGTH = 180
"""What leaves room, in a component of 255 bytes, for what uploads append."""

_NAME = re.compile(r"[0-9a-f]{32}(\+[^/~]*)?")


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
