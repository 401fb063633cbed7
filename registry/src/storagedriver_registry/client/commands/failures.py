"""What went wrong, as an exit code and a line."""

from __future__ import annotations

import json
from typing import Any

from storagedriver_core import ChecksumMismatchError, StorageDriverError
from storagedriver_registry.client.commands.output import say
from storagedriver_registry.client.errors import (
    CredentialsError,
    DeniedError,
    DigestMismatchError,
    InvalidReferenceError,
    NotFoundError,
    RegistryError,
    ResponseError,
    UnauthorizedError,
)

FAILED = 1
USAGE = 2
NOT_FOUND = 3
NOT_ALLOWED = 4
WRONG_CONTENT = 5
TRY_AGAIN = 6
INTERRUPTED = 130

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage, or no such reference can be; 3 not found; "
    "4 credentials are missing, wrong, or do not allow it; 5 content is not what its digest says; "
    "6 the registry cannot be reached or is too busy, or another process is at work on the file, "
    "so that it may be tried again; "
    "130 interrupted."
)

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (InvalidReferenceError, USAGE),
    (NotFoundError, NOT_FOUND),
    (UnauthorizedError, NOT_ALLOWED),
    (DeniedError, NOT_ALLOWED),
    (CredentialsError, NOT_ALLOWED),
    (DigestMismatchError, WRONG_CONTENT),
    (ChecksumMismatchError, WRONG_CONTENT),
)

EXPECTED = (RegistryError, StorageDriverError, OSError, ValueError)
"""What is told in one line; anything else is a fault of the program's."""


def exit_code(error: Exception) -> int:
    """Give the exit code that stands for an error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    if isinstance(error, ResponseError) and error.code == "DIGEST_INVALID":
        return WRONG_CONTENT
    return TRY_AGAIN if getattr(error, "temporary", False) else FAILED


def tell(error: Exception, *, as_json: bool) -> None:
    """Print an error to the standard error output."""
    text = str(error)
    if isinstance(error, ResponseError) and error.login:
        text += f" (there are no credentials for {error.login}: `dist login {error.login}`)"
    if not as_json:
        say(f"dist: {text}", err=True)
        return
    about: dict[str, Any] = {"type": type(error).__name__, "message": text}
    if isinstance(error, ResponseError):
        about |= {"status": error.status, "code": error.code, "detail": error.detail}
    say(json.dumps({"error": about}), err=True)
