"""Broken drivers for the cases of names and paths."""

from __future__ import annotations

from storagedriver_core import DriverMiddleware, _context

from ._mutation import Mutation


class DotsBecomeUnderscores(DriverMiddleware):
    async def put_content(self, path, data, options):
        return await super().put_content(path.replace(".", "_"), data, options)


def accept_any_path(monkeypatch):
    monkeypatch.setattr(_context, "path_checker", lambda capabilities: lambda path: None)


MUTATIONS = (
    Mutation(case_id="N01", fault="dots become underscores", wrap=DotsBecomeUnderscores),
    Mutation(case_id="N02", fault="any path is accepted", sabotage=accept_any_path),
)
