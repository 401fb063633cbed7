"""How much is done: sizes, times and numbers of clients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

KIB = 1024
MIB = 1024 * KIB

Framing = Literal["chunked", "length"]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of one kind is done; whichever ends first.

    Attributes:
        seconds: For how long; None for as long as it takes.
        count: How many operations each client does (all of them together where a generator counts
            so); None for any number.
    """

    seconds: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        rounds: How often each server is started and measured.
        connections: Connections that make small requests at the same time.
        requests: How many of these.
        warm_up: Requests of the same kind before them, which are not measured.
        large_bytes: Size of the large blob.
        small_bytes: Size of the small blob that is pulled.
        pushed_bytes: Size of the small blobs that are pushed.
        several: Clients that push or pull large blobs at the same time.
        many: Clients that push small blobs at the same time.
        pulls: Pulls of one client alone, and of each of several.
        pushes: Pushes of large blobs of one client alone, and of each of several.
        small_pushes: Pushes of small blobs.
        framing: How the body of the streamed PATCH goes: in chunks of `chunk_bytes`, or at once
            with its length.
        chunk_bytes: Size of a chunk. Clients written in Go send 32 KiB.
        settles: Whether what was written is brought to the disk before each row.
    """

    rounds: int = 6
    connections: int = 16
    requests: Amount = Amount(seconds=5)
    warm_up: int = 500
    large_bytes: int = 256 * MIB
    small_bytes: int = 2 * KIB
    pushed_bytes: int = 4 * KIB
    several: int = 4
    many: int = 8
    pulls: tuple[int, int] = (40, 10)
    pushes: tuple[int, int] = (6, 2)
    small_pushes: Amount = Amount(seconds=5)
    framing: Framing = "chunked"
    chunk_bytes: int = 32 * KIB
    settles: bool = True

    def scaled(self, factor: int) -> Plan:
        """Give a plan where each row is that many times as long."""
        return replace(
            self,
            requests=_times(self.requests, factor),
            small_pushes=_times(self.small_pushes, factor),
            pulls=(self.pulls[0] * factor, self.pulls[1] * factor),
            pushes=(self.pushes[0] * factor, self.pushes[1] * factor),
        )


QUICK = Plan(
    rounds=1,
    connections=4,
    requests=Amount(count=200),
    warm_up=20,
    large_bytes=4 * MIB,
    pulls=(2, 1),
    pushes=(2, 1),
    small_pushes=Amount(count=5),
    settles=False,
)


def _times(amount: Amount, factor: int) -> Amount:
    return Amount(
        None if amount.seconds is None else amount.seconds * factor,
        None if amount.count is None else amount.count * factor,
    )


def size(count: int) -> str:
    """Give a number of bytes as a person would."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"
