"""What tests can do to the fake; Google has nothing like this. README.md has the table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ._errors import ApiError


@dataclass
class Order:
    """Something that happens to the next requests that match."""

    pattern: re.Pattern[str]
    times: int
    error: ApiError | None = None


@dataclass
class Control:
    """What tests have asked for."""

    keep: int | None = None
    keep_times: int = 0
    rewrite_step: int = 0
    read_only: bool = False
    undeletable: frozenset[str] = frozenset()
    listings: int = 0
    failures: list[Order] = field(default_factory=list)
    lost: list[Order] = field(default_factory=list)

    def reset(self) -> None:
        listings = self.listings
        self.__init__()  # type: ignore[misc]  # every field back to its default
        self.listings = listings

    def fail(self, order: dict[str, Any]) -> None:
        error = ApiError(
            int(order.get("status", 503)),
            str(order.get("message", "We encountered an internal error. Please try again.")),
            str(order.get("reason", "")),
            headers=order.get("headers"),
        )
        self.failures.append(Order(re.compile(order["pattern"]), int(order.get("times", 1)), error))

    def lose_reply(self, order: dict[str, Any]) -> None:
        self.lost.append(Order(re.compile(order["pattern"]), int(order.get("times", 1))))

    def check(self, line: str) -> None:
        """Refuse a request that shall fail."""
        order = _take(self.failures, line)
        if order is not None and order.error is not None:
            raise order.error

    def is_lost(self, line: str) -> bool:
        return _take(self.lost, line) is not None

    def require_change(self) -> None:
        if self.read_only:
            raise ApiError(403, "The account does not have storage.objects.create access.")

    def require_deletable(self, name: str) -> None:
        if name in self.undeletable:
            raise ApiError(403, "The account does not have storage.objects.delete access.")

    def kept(self, size: int, unit: int) -> int:
        """Tell how many of `size` bytes are to be kept."""
        if self.keep is None or self.keep_times <= 0:
            return size
        self.keep_times -= 1
        return min(size, self.keep // unit * unit)


def _take(orders: list[Order], line: str) -> Order | None:
    for order in orders:
        if order.times > 0 and order.pattern.search(line):
            order.times -= 1
            return order
    return None
