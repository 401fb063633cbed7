"""Which tokens of an upload still tell the truth about its bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from storagedriver_core._errors import ConflictError

_KEY = "cuts"
_TEXT = re.compile(r"(?:\d+:\d+(?:,\d+:\d+)*)?")


@dataclass(frozen=True, slots=True)
class UploadCuts:
    """Cuts of one upload, for drivers whose uploads are one run of bytes.

    A resume from an older token cuts off what came after it, and other bytes take its place. A
    token that promised the bytes that are gone must not go on as if the new ones were its own: its
    digest states are of the old ones. So each cut is kept with the upload, a token carries the
    number of the last cut that it knew, and it is good while no later cut was below its offset.

    Attributes:
        cuts: Number and offset of each cut that some token may not know; both rise.
    """

    cuts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_text(cls, text: str) -> UploadCuts:
        """Read what `to_text` gave; what is none counts as no cut."""
        if not text or not _TEXT.fullmatch(text):
            return cls()
        pairs = (pair.split(":") for pair in text.split(","))
        return cls(tuple((int(number), int(offset)) for number, offset in pairs))

    def to_text(self) -> str:
        """Give the cuts as text, to be kept with the upload."""
        return ",".join(f"{number}:{offset}" for number, offset in self.cuts)

    def require(self, data: Mapping[str, str], offset: int) -> None:
        """Check a token by its `Upload.data` and its offset.

        Raises:
            ConflictError: Bytes below the offset are no longer those that the token promised.
        """
        known = data.get(_KEY, "0")
        last = int(known) if known.isdecimal() else 0
        if any(number > last and start < offset for number, start in self.cuts):
            raise ConflictError("the upload was resumed from an older token since")

    def at(self, offset: int) -> UploadCuts:
        """Give the cuts with one more, at `offset`."""
        number = self.cuts[-1][0] + 1 if self.cuts else 1
        # Cuts at or after this one say nothing more: whoever knew neither is told by this one.
        below = tuple(cut for cut in self.cuts if cut[1] < offset)
        return UploadCuts((*below, (number, offset)))

    def data(self) -> Mapping[str, str]:
        """Give the `UploadState.data` for tokens that know all of these cuts."""
        return {_KEY: str(self.cuts[-1][0])} if self.cuts else {}
