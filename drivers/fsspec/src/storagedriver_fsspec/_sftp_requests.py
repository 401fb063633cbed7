"""Requests of SFTP that paramiko's client has no call for, or only a slow one.

They are sent ahead of their answers, which may come in any order; paramiko's own way to do so
(`set_pipelined`) drops the errors of writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storagedriver_core import Buffer, UnavailableError
from storagedriver_fsspec._errors import NotDurableError

WINDOW_BYTES = 1024 * 1024
"""What is asked for, or sent, before an answer is waited for."""

_COPY_BYTES = 64 * 1024 * 1024
"""What a server copies well before it counts as gone."""

_REQUEST_BYTES = 32 * 1024
"""What every server takes in one request (draft-ietf-secsh-filexfer-02, section 3)."""

# The numbers of the draft, sections 3 and 7.
_CMD_READ, _CMD_WRITE, _CMD_STATUS, _CMD_EXTENDED = 5, 6, 101, 200
_OK, _UNSUPPORTED = 0, 8


class Answers:
    """Takes the answers to requests that were sent ahead, in any order."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._waiting: list[int] = []
        self._got: dict[int, tuple[int, Any]] = {}

    def ask(self, command: int, *arguments: Any) -> None:
        """Send a request."""
        self._waiting.append(self._client._async_request(self, command, *arguments))

    def all(self) -> list[tuple[int, Any]]:
        """Wait for all answers; give kind and message of each, in the order of the requests."""
        while len(self._got) < len(self._waiting):
            self._client._read_response()
        return [self._got[number] for number in self._waiting]

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        # paramiko calls this for requests that name no thread to wait for them.
        self._got[number] = (kind, message)


def read_at(client: Any, file: Any, offset: int, size: int) -> bytes:
    """Give `size` bytes; the file is not shorter, since nobody cuts one that is published."""
    from paramiko.sftp import int64

    answers = Answers(client)
    counts = [min(_REQUEST_BYTES, size - start) for start in range(0, size, _REQUEST_BYTES)]
    for number, count in enumerate(counts):
        place = int64(offset + number * _REQUEST_BYTES)
        answers.ask(_CMD_READ, file.handle, place, count)
    pieces = []
    for number, (kind, message) in enumerate(answers.all()):
        if kind == _CMD_STATUS:
            try:
                client._convert_status(message)
            except EOFError:
                raise UnavailableError("the file is shorter than it was") from None
        piece = message.get_string() if kind != _CMD_STATUS else b""
        while len(piece) < counts[number]:
            # A server may give less than was asked.
            start = offset + number * _REQUEST_BYTES + len(piece)
            rest = _read_once(client, file, start, counts[number] - len(piece))
            piece += rest
        pieces.append(piece)
    return b"".join(pieces)


def _read_once(client: Any, file: Any, offset: int, size: int) -> bytes:
    from paramiko.sftp import int64

    try:
        kind, message = client._request(_CMD_READ, file.handle, int64(offset), size)
    except EOFError:
        raise UnavailableError("the file is shorter than it was") from None
    data: bytes = message.get_string() if kind != _CMD_STATUS else b""
    if not data:
        raise UnavailableError("the file is shorter than it was")
    return data


def write_at(client: Any, file: Any, offset: int, data: Sequence[Buffer]) -> None:
    """Write pieces one after the other."""
    from paramiko.sftp import int64

    answers, sent = Answers(client), 0
    for chunk in data:
        view = memoryview(chunk).cast("B")
        for start in range(0, len(view), _REQUEST_BYTES):
            piece = bytes(view[start : start + _REQUEST_BYTES])
            answers.ask(_CMD_WRITE, file.handle, int64(offset), piece)
            offset += len(piece)
            sent += len(piece)
            if sent >= WINDOW_BYTES:
                _check(client, answers)
                answers, sent = Answers(client), 0
    _check(client, answers)


def _check(client: Any, answers: Answers) -> None:
    for kind, message in answers.all():
        _require_status(kind)
        client._convert_status(message)


def copy_data(client: Any, source: Any, target: Any, size: int) -> bool:
    """Copy the first bytes of a file at the server; False where it does not."""
    from paramiko.sftp import int64

    for start in range(0, size, _COPY_BYTES):
        place, count = int64(start), int64(min(_COPY_BYTES, size - start))
        # Source: OpenSSH's PROTOCOL, "copy-data".
        answers = Answers(client)
        answers.ask(_CMD_EXTENDED, "copy-data", source.handle, place, count, target.handle, place)
        if _status(*answers.all()[0]) != _OK:
            return False
    return True


def sync(client: Any, file: Any) -> None:
    """Make a file durable, where the server knows how; others promise nothing, and nor do we.

    Raises:
        NotDurableError: The server knows how, and could not.
    """
    # Source: OpenSSH's PROTOCOL, "fsync@openssh.com".
    answers = Answers(client)
    answers.ask(_CMD_EXTENDED, "fsync@openssh.com", file.handle)
    if _status(*answers.all()[0]) not in (_OK, _UNSUPPORTED):
        raise NotDurableError


def blocks_left(client: Any, place: str) -> int | None:
    """Give the number of free blocks of a filesystem; None where the server does not tell."""
    # Source: OpenSSH's PROTOCOL, "statvfs@openssh.com": the fifth number.
    answers = Answers(client)
    answers.ask(_CMD_EXTENDED, "statvfs@openssh.com", place)
    kind, message = answers.all()[0]
    return [message.get_int64() for _ in range(5)][4] if kind != _CMD_STATUS else None


def _status(kind: int, message: Any) -> int:
    _require_status(kind)
    code: int = message.get_int()
    return code


def _require_status(kind: int) -> None:
    from paramiko import SFTPError

    if kind != _CMD_STATUS:
        raise SFTPError("the server answers out of turn")
