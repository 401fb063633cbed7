"""A broken driver for the case of the model."""

from __future__ import annotations

from contextlib import suppress

from storagedriver_core import DriverMiddleware, PathNotFoundError, PutOptions

from ._mutation import Mutation


class MovesWithoutTruncating(DriverMiddleware):
    """A file that a move replaces shows behind the end of the shorter new one."""

    async def move(self, source, target, *, if_absent=False):
        old = b""
        with suppress(PathNotFoundError):
            old = await self.get_content(target)
        await super().move(source, target, if_absent=if_absent)
        new = await self.get_content(target)
        await self.put_content(target, new + old[len(new) :], PutOptions())


MUTATIONS = (
    Mutation(case_id="N25", fault="a move does not truncate", wrap=MovesWithoutTruncating),
)
