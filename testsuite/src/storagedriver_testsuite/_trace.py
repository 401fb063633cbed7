"""The system calls of a child process, as `strace` writes them down."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_CALLS = (
    "fsync,fdatasync,io_submit,io_getevents,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,"
    "write,writev,pwrite64,pwritev,pwritev2"
)
_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_UNFINISHED = re.compile(r"(?P<begun>.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+).*")
# With -y a descriptor is followed by its path; strings are quoted.
_PLACE = re.compile(r'(?:(?:\d+|AT_FDCWD)<(?P<directory>[^>]*)>, )?"(?P<path>[^"]*)"')
# Linux's native AIO: what is asked for, and the answers without an error.
_REQUEST = re.compile(
    r"aio_data=(?P<data>\w+), aio_lio_opcode=IOCB_CMD_FD?SYNC, "
    r"aio_fildes=(?P<number>\d+)<(?P<path>[^>]*)>"
)
_ANSWER = re.compile(r"{data=(?P<data>\w+), obj=\w+, res=0,")
_DESCRIPTOR = re.compile(r"(?P<number>\d+)<(?P<path>[^>]*)>")


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One system call that succeeded.

    Attributes:
        name: As `renameat`.
        descriptor: Number of the descriptor that comes first; -1 for none.
        path: Path of that descriptor.
        places: Paths given by name, resolved against the descriptor before them.
        began: Place in the order of all beginnings and ends.
        ended: Likewise.
    """

    name: str
    descriptor: int
    path: str
    places: tuple[str, ...]
    began: int
    ended: int


@functools.cache
def can_trace() -> bool:
    """Tell whether `strace` is there and may trace; containers often forbid it."""
    program = shutil.which("strace")
    if program is None:
        return False
    done = subprocess.run([program, "-qq", "-e", "trace=none", "true"], capture_output=True)
    return done.returncode == 0


def trace_command(log: Path) -> Sequence[str]:
    """Give the command that runs another one and writes the calls of all its threads to `log`."""
    return ["strace", "-f", "-qq", "-y", "-s", "4096", "-e", f"trace={_CALLS}", "-o", str(log)]


def read_calls(log: Path) -> list[SystemCall]:
    """Give the calls that succeeded, in the order of their ends.

    Syncs by Linux's native AIO are given as `fsync`, from what asked for them to what told of them.
    """
    begun: dict[str, tuple[str, int]] = {}
    asked: dict[tuple[str, str], SystemCall] = {}
    calls: list[SystemCall] = []
    for number, line in enumerate(log.read_text(errors="replace").splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        thread, text, began = match["thread"], match["rest"], number
        if unfinished := _UNFINISHED.fullmatch(text):
            begun[thread] = unfinished["begun"], number
            continue
        if resumed := _RESUMED.fullmatch(text):
            text, began = begun.pop(thread)
            text += resumed["rest"]
        call = _CALL.fullmatch(text)
        if call is None or int(call["result"]) < 0:
            continue
        name, arguments = call["name"], call["arguments"]
        queue = arguments.partition(",")[0]
        if name == "io_submit":
            for found in _REQUEST.finditer(arguments):
                descriptor, path = int(found["number"]), found["path"]
                request = SystemCall("fsync", descriptor, path, (), began, number)
                asked[queue, found["data"]] = request
        elif name == "io_getevents":
            for found in _ANSWER.finditer(arguments):
                done = asked.pop((queue, found["data"]), None)
                if done is not None:
                    calls.append(replace(done, ended=number))
        else:
            calls.append(_system_call(name, arguments, began, number))
    return calls


def _system_call(name: str, arguments: str, began: int, ended: int) -> SystemCall:
    first = _DESCRIPTOR.match(arguments)
    places: tuple[str, ...] = ()
    if not name.endswith(("sync", "write", "writev", "write64", "writev2")):
        places = tuple(
            str(Path(found["directory"] or "", found["path"]))
            for found in _PLACE.finditer(arguments)
        )
    if first is None:
        return SystemCall(name, -1, "", places, began, ended)
    return SystemCall(name, int(first["number"]), first["path"], places, began, ended)
