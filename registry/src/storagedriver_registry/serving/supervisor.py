"""The process that watches over several workers.

It serves nothing itself. Workers are forked from it before it has done anything else, so they share
its memory until they change it, and one that dies is replaced by another just like it. The first
starts alone: what is made once (the key of upload sessions, a password file) is there for the rest.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.signals import STOP_SIGNALS, die_of

logger = logging.getLogger(__name__)

WorkerMain = Callable[[int, Connection, int], None]
"""What a worker does: its number, where it says that it is ready, or why it cannot start, and a
descriptor that can be read when the process above it is gone."""

READY = ""
"""What a worker says when it answers requests."""

# A worker that has lived for so long is replaced at once, and one that has not after a while.
_LONG_SECONDS = 5.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0

# Beyond the time that requests have to end in: a worker needs some to shut down.
_GRACE_SECONDS = 45.0


@dataclass(slots=True)
class _Slot:
    """A worker's place. One worker after another is in it."""

    number: int
    process: BaseProcess | None = None
    words: Connection | None = None
    is_ready: bool = False
    ready_at: float = 0.0
    failures: int = 0
    start_at: float | None = None

    def handles(self) -> list[int | Connection]:
        if self.process is None:
            return []
        return [self.process.sentinel, *([self.words] if self.words is not None else [])]


class Supervisor:
    """Starts workers, replaces those that die, and stops them.

    Args:
        main: What a worker does, in a process of its own.
        count: How many there are.
        drain_seconds: Seconds that requests have to end in; 0 for any number.
    """

    def __init__(self, main: WorkerMain, count: int, drain_seconds: float) -> None:
        self._main = main
        self._slots = [_Slot(number) for number in range(count)]
        self._drain_seconds = drain_seconds
        # Nobody writes to it: its end is read when this process is gone, killed or not. Those that
        # `multiprocessing` has are inherited by workers that are forked later.
        self._life = os.pipe()
        self._failure = ""
        self._has_started = False

    def run(self, on_ready: Callable[[], None], on_stop: Callable[[], None]) -> bool:
        """Watch until SIGTERM or SIGINT, and stop the workers then.

        Args:
            on_ready: Called when all workers answer requests.
            on_stop: Called before the workers are stopped.

        Returns:
            Whether every request was finished.

        Raises:
            StartError: No worker could start.
        """
        # What is there already is not touched by the collector, and so not copied.
        gc.freeze()
        with _noted_signals() as notes:
            try:
                if self._start(notes, on_ready):
                    self._watch(notes)
                on_stop()
                return self._stop(notes)
            finally:
                self._kill()
                for descriptor in self._life:
                    os.close(descriptor)

    def _start(self, notes: socket.socket, on_ready: Callable[[], None]) -> bool:
        """Start the first worker, then the others; tell whether that came to its end."""
        for slots in (self._slots[:1], self._slots[1:]):
            for slot in slots:
                self._fork(slot)
            while not all(slot.is_ready for slot in slots):
                if self._turn(notes):
                    return False
                if not self._has_started and self._failure:
                    raise StartError(self._failure)
            self._has_started = True
        on_ready()
        return True

    def _watch(self, notes: socket.socket) -> None:
        while not self._turn(notes):
            pass

    def _turn(self, notes: socket.socket) -> bool:
        """Wait for something to happen, and deal with it; tell whether it is time to stop."""
        handles = [handle for slot in self._slots for handle in slot.handles()]
        fired = wait([notes, *handles], self._seconds_to_next_start())
        if notes in fired and _read_note(notes):
            return True
        for slot in self._slots:
            if slot.words is not None and slot.words in fired:
                self._listen(slot)
            if slot.process is not None and slot.process.sentinel in fired:
                self._bury(slot)
            if slot.start_at is not None and slot.start_at <= time.monotonic():
                self._fork(slot)
        return False

    def _seconds_to_next_start(self) -> float | None:
        times = [slot.start_at for slot in self._slots if slot.start_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _fork(self, slot: _Slot) -> None:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(self._main, slot.number, theirs, self._life), daemon=True
        )
        # A signal that comes before the worker knows what to do with it waits for that.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        theirs.close()
        slot.process, slot.words = process, ours
        slot.is_ready, slot.start_at = False, None

    def _listen(self, slot: _Slot) -> None:
        assert slot.words is not None
        with suppress(EOFError, OSError):
            failure = slot.words.recv()
            if failure == READY:
                slot.is_ready, slot.ready_at = True, time.monotonic()
            else:
                self._failure = failure
        slot.words.close()
        slot.words = None

    def _bury(self, slot: _Slot) -> None:
        """Note that a worker has died, and when the next one is to come."""
        assert slot.process is not None
        if slot.words is not None:
            self._listen(slot)
        slot.process.join()
        how = _how_ended(slot.process.exitcode)
        if not slot.is_ready and not self._failure:
            self._failure = f"a worker {how} before it answered requests"
        was_long = slot.is_ready and time.monotonic() - slot.ready_at >= _LONG_SECONDS
        slot.failures = 0 if was_long else slot.failures + 1
        delay = _delay(slot.failures)
        if self._has_started:
            logger.error(
                "worker %d, process %d, %s; the next starts in %.1f seconds",
                *(slot.number, slot.process.pid, how, delay),
            )
        slot.process.close()
        slot.process, slot.is_ready = None, False
        slot.start_at = time.monotonic() + delay

    def _stop(self, notes: socket.socket) -> bool:
        """Stop the workers; a second signal ends them at once, and this process with them."""
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            process.terminate()
        deadline = None
        if self._drain_seconds:
            deadline = time.monotonic() + self._drain_seconds + _GRACE_SECONDS
        while alive := [process for process in running if process.is_alive()]:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            sentinels = [process.sentinel for process in alive]
            if notes in wait([notes, *sentinels], left) and (number := _read_note(notes)):
                self._kill()
                die_of(number)
        # One that had not set itself up yet has died of the signal, and has cut off nothing.
        return all(process.exitcode in (0, -signal.SIGTERM) for process in running)

    def _kill(self) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()
                slot.process.join()


def _work(main: WorkerMain, number: int, words: Connection, life: tuple[int, int]) -> None:
    """Be a worker."""
    parent, own = life
    os.close(own)
    signal.set_wakeup_fd(-1)
    # Ctrl-C reaches every process of the terminal; here the parent says what is to be done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    main(number, words, parent)


@contextmanager
def _noted_signals() -> Iterator[socket.socket]:
    """Give a socket at which a byte arrives with each signal, its number."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        former = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}
        before = signal.set_wakeup_fd(theirs.fileno())
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in former.items():
                signal.signal(number, handler)


def _read_note(notes: socket.socket) -> int:
    """Give the number of the signal, or 0 if it is another's."""
    number = notes.recv(1)[0]
    return number if number in STOP_SIGNALS else 0


def _how_ended(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _delay(failures: int) -> float:
    if not failures:
        return 0.0
    return min(_FIRST_DELAY_SECONDS * 2.0 ** (failures - 1), _LONGEST_DELAY_SECONDS)
