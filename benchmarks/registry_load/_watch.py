"""A server's process tree from outside: CPU, memory, and a profiler beside it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PERIOD = 0.1
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PROFILER_SECONDS = 60


def tree(pid: int) -> list[int]:
    """Give a process and its descendants.

    Raises:
        ProcessLookupError: The process is gone.
    """
    if not (_PROC / str(pid)).exists():
        raise ProcessLookupError(pid)
    found = [pid]
    for one in found:
        # Of each thread: whichever has forked is the parent. A process may end in between.
        for path in _PROC.glob(f"{one}/task/*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """Give the CPU that a process tree has taken, with that of children which it has waited for."""
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything: utime, stime, cutime and cstime are the 14th
            # to 17th field. Source: proc(5).
            fields = (_PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def pss_bytes(pid: int) -> int:
    """Give a process tree's memory, where pages that several have count in part for each of them.

    Raises:
        PermissionError: The processes are another user's.
    """
    kibibytes = 0
    for one in tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in (_PROC / str(one) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kibibytes += int(line.split()[1])
    return kibibytes * 1024


@dataclass
class Watch:
    """What is seen of a server while it is loaded.

    Attributes:
        pid: Its process.
        profile: A command that runs from `begin` to `end`, and is then interrupted; empty for none.
        peak: The most memory at any look, in bytes.
        cpu: CPU from `begin` to `end`, in seconds.
    """

    pid: int
    profile: str = ""
    peak: int = 0
    cpu: float = 0.0
    _before: float = 0.0
    _profiler: subprocess.Popen[bytes] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        """Start to count: the load is warm."""
        if self.profile:
            self._profiler = subprocess.Popen(shlex.split(self.profile))
        self._before = cpu_seconds(self.pid)

    def end(self) -> None:
        """Stop to count."""
        self.cpu = cpu_seconds(self.pid) - self._before
        self._end_profile()

    def _end_profile(self) -> None:
        profiler, self._profiler = self._profiler, None
        if profiler is not None:
            profiler.send_signal(signal.SIGINT)
            profiler.wait(_PROFILER_SECONDS)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look at the memory again and again while the block runs."""
        # Before the thread does: an error in there would be nobody's.
        self.peak = pss_bytes(self.pid)
        thread = threading.Thread(target=self._look, name="memory of the server")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._end_profile()

    def _look(self) -> None:
        while True:
            with contextlib.suppress(ProcessLookupError):
                self.peak = max(self.peak, pss_bytes(self.pid))
            if self._stop.wait(PERIOD):
                return


def wait_until_idle(pid: int, seconds: float) -> None:
    """Wait until a process tree takes next to no CPU, but no longer than so many seconds."""
    deadline = time.monotonic() + seconds
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(PERIOD)
        now = cpu_seconds(pid)
        if now - before <= 1 / _TICKS:
            return
        before = now
