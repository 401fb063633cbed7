"""How large the parts of an upload are."""

from __future__ import annotations

from dataclasses import dataclass

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._errors import LimitExceededError

DEFAULT_PART_SIZE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Sizes of the parts of one upload.

    Without a known size, and where parts need not be equal, parts double after each
    `parts_per_step`, so that the largest object fits in the parts that there are.

    Attributes:
        part_size: Bytes of the first part.
        max_parts: Parts at most; None for no limit.
        parts_per_step: Parts after which the size doubles; None where it never does.
        max_part_size: Bytes of a part at most; None for no limit.
        max_object_size: Bytes of the object at most; None for no limit.
    """

    part_size: int
    max_parts: int | None = None
    parts_per_step: int | None = None
    max_part_size: int | None = None
    max_object_size: int | None = None

    def size_of(self, number: int) -> int:
        """Give the bytes of part `number`, from 1."""
        if self.parts_per_step is None:
            return self.part_size
        size = self.part_size << ((number - 1) // self.parts_per_step)
        return size if self.max_part_size is None else min(size, self.max_part_size)

    def fits(self, number: int, size: int) -> bool:
        """Tell whether `size` bytes fit in part `number` and those after it."""
        if self.max_parts is None:
            return True
        left = self.max_parts - number + 1
        # Parts never shrink, so the cheap test is enough until close to the end.
        if left * self.size_of(number) >= size:
            return True
        return sum(self.size_of(each) for each in range(number, self.max_parts + 1)) >= size


def plan_parts(
    capabilities: Capabilities, *, max_size: int | None = None, part_size: int = DEFAULT_PART_SIZE
) -> PartPlan:
    """Choose part sizes that fit `capabilities`, for an object of at most `max_size` bytes.

    Raises:
        LimitExceededError: No choice lets `max_size` fit.
    """
    most = capabilities.max_part_size
    limit = capabilities.max_object_size
    if max_size is not None and limit is not None and max_size > limit:
        raise LimitExceededError(f"objects hold at most {limit} bytes, not {max_size}")
    size = max(part_size, capabilities.min_part_size, 1)
    if max_size is not None and capabilities.max_parts is not None:
        size = max(size, -(-max_size // capabilities.max_parts))
    size = -(-size // capabilities.part_alignment) * capabilities.part_alignment
    if most is not None and size > most:
        parts = capabilities.max_parts
        if max_size is not None and parts is not None and max_size > parts * most:
            raise LimitExceededError(f"{max_size} bytes do not fit in parts of {most}")
        size = most
    step = None
    if max_size is None and not capabilities.equal_parts:
        step = _parts_per_step(size, capabilities.max_parts, limit)
    return PartPlan(size, capabilities.max_parts, step, most, limit)


def _parts_per_step(size: int, max_parts: int | None, max_object_size: int | None) -> int | None:
    """Find the fewest doublings with which an object of `max_object_size` fits."""
    if max_parts is None or max_object_size is None or size * max_parts >= max_object_size:
        return None
    for steps in range(2, max_parts + 1):
        per_step = max_parts // steps
        if per_step * size * ((1 << steps) - 1) >= max_object_size:
            return per_step
    return 1
