"""Runs a program that must not outlive whoever started it: `python _guard.py FD PROGRAM ARGS...`.

This process becomes the program, so its number stays. A child stays behind, which reads from the
pipe FD. The other end is open in the process that wants the server, and closes with it, however it
ends; then the whole process group is killed. The kernel's own "signal when the parent dies" does
not do: it comes when the thread that started the server ends, and does not reach its children.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Leave the watching child behind, and become the program."""
    pipe = int(sys.argv[1])
    if os.fork() == 0:
        # Twice, so that the program is not told of the end of a child that it never had.
        if os.fork() == 0:
            watch(pipe)
        os._exit(0)
    os.wait()
    os.close(pipe)
    os.execv(sys.argv[2], sys.argv[2:])


def watch(pipe: int) -> None:
    """Wait until nobody holds the pipe's other end, then kill the group, this process included."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Neither the log nor the directory is to be held by this process.
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    while os.read(pipe, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
