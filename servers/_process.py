"""What every server here has: start, readiness, log, and an end that leaves no process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import psutil

from servers._ports import Ports

PROGRAMS = Path(__file__).resolve().parent.parent / ".services" / "bin"
GUARD = Path(__file__).with_name("_guard.py")
HOST = "127.0.0.1"
ATTEMPTS = 5
PAUSE = 0.02


class MissingProgramError(FileNotFoundError):
    """What the server runs has not been fetched."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: not there; `make services` fetches it")


class ServerError(RuntimeError):
    """The server ended early, or was not ready in time; the text has the end of its log."""


def program(name: str) -> str:
    """Give the path of a fetched program.

    Raises:
        MissingProgramError: It has not been fetched.
    """
    path = PROGRAMS / name
    if not path.is_file():
        raise MissingProgramError(name)
    return str(path)


class Server(ABC):
    """One server on 127.0.0.1; as a context manager it runs while the block does.

    A server that was stopped can be started again: it has the same ports, and finds its data if
    it keeps any on disk.

    Args:
        directory: For its data, configuration and log. Made if it is missing.

    Attributes:
        program: The name of what it runs below `.services/bin`.
        port_count: How many ports it needs.
        companion: The distance to the second port that each of them needs; 0 for none.
        start_seconds: How long it may take until it answers.
        stop_seconds: How long it may take to end by itself after SIGTERM.
    """

    program: ClassVar[str]
    port_count: ClassVar[int] = 1
    companion: ClassVar[int] = 0
    start_seconds: ClassVar[float] = 60.0
    stop_seconds: ClassVar[float] = 5.0

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory).absolute()
        self.log = self.directory / "server.log"
        self._ports: Ports | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    @property
    def ports(self) -> Sequence[int]:
        """The ports, in an order that the server's module knows; none before the first start."""
        return self._ports.numbers if self._ports else ()

    @property
    def port(self) -> int:
        """The port that clients use."""
        if not self.ports:
            raise ServerError(f"{type(self).__name__} was not started")
        return self.ports[0]

    @property
    def url(self) -> str:
        """Where clients find it, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The number of its process; None unless it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    @abstractmethod
    def arguments(self) -> Sequence[str]:
        """Write the configuration, if it needs any, and give the program's arguments."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Make a request that a test might make, and say whether it was answered as it should be.

        Connections that fail, and time-outs, may be raised as `OSError`.
        """

    def executable(self) -> str:
        """Give the path of what it runs.

        Raises:
            MissingProgramError: It has not been fetched.
        """
        return program(self.program)

    def environment(self) -> Mapping[str, str]:
        """Give the variables that the program gets besides those of this process."""
        return {}

    def strays(self) -> Sequence[Path]:
        """Name the files that it makes outside its directory, whatever it is told."""
        return ()

    def facts(self) -> Mapping[str, str]:
        """Give what a person needs to use it: addresses and the credentials made for tests."""
        return {"url": self.url}

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises:
            MissingProgramError: Its program has not been fetched.
            ServerError: It ended, or did not answer in time.
        """
        if self.pid:
            return
        # It may have ended by itself since.
        self._end()
        path = self.executable()
        self.directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            self._ports = self._ports or Ports(self.port_count, self.companion)
            try:
                self._launch(path)
                self._wait_until_ready()
                return
            except BaseException as exc:
                # Somebody who claims no ports may have taken one.
                again = isinstance(exc, ServerError) and attempt < ATTEMPTS and self._lost_a_port()
                self._end()
                self._release()
                if not again:
                    raise

    def _launch(self, path: str) -> None:
        arguments = self.arguments()
        reading, lifeline = os.pipe()
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(GUARD), str(reading), path, *arguments],
                    cwd=self.directory,
                    env={**os.environ, **self.environment()},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[reading],
                )
            self._lifeline = lifeline
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(reading)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self.start_seconds
        while True:
            ready = False
            with contextlib.suppress(OSError):
                ready = self.is_ready()
            # Asked last: whoever answered was this process only if it still runs.
            if self._process.poll() is not None:
                status = self._process.returncode
                raise ServerError(f"{type(self).__name__} ended ({status}):\n{self._last_lines()}")
            if ready:
                return
            if time.monotonic() > deadline:
                late = f"{type(self).__name__} was not ready in {self.start_seconds:g} s"
                raise ServerError(f"{late}:\n{self._last_lines()}")
            time.sleep(PAUSE)

    def _last_lines(self, count: int = 20) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-count:]) or "(it logged nothing)"

    def _lost_a_port(self) -> bool:
        text = self.log.read_text(encoding="utf-8", errors="replace").lower()
        return any(f in text for f in ("address already in use", "eaddrinuse", "errno 98"))

    def stop(self) -> None:
        """Stop it and everything that it started; nothing happens if it does not run."""
        self._end()

    def kill(self) -> None:
        """Stop it as a crash would: no warning, nothing written that was not."""
        self._end(at_once=True)

    def _end(self, *, at_once: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            # A connection's process may have left the group: sshd's do.
            family = _descendants(process.pid)
            if not at_once:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.stop_seconds)
            family |= _descendants(process.pid)
            # The group lasts as long as the guard's child, so its number cannot be another's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(family, timeout=self.stop_seconds)
            # The guard's child is nobody's whom one could wait for, but it held the pipe.
            guard = select.poll()
            guard.register(self._lifeline, select.POLLERR)
            guard.poll(self.stop_seconds * 1000)
        finally:
            os.close(self._lifeline)
            for stray in self.strays():
                stray.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._ports:
            self._ports.release()
        self._ports = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end()
        finally:
            self._release()


def _descendants(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()
