"""Broken drivers for the cases of parts."""

from __future__ import annotations

import dataclasses

from storagedriver_core import DriverMiddleware, _uploader

from ._mutation import Mutation


class JoinsAsTheyCome(DriverMiddleware):
    def __init__(self, driver):
        super().__init__(driver)
        self.arrived = []

    async def put_part(self, upload, number, offset, data):
        part = await super().put_part(upload, number, offset, data)
        self.arrived.append(b"".join(data))
        return part

    async def complete_upload(self, upload, parts, options):
        await super().put_part(upload, 1, 0, self.arrived)
        return await super().complete_upload(upload, parts, options)


class OddEndsBecomeZero(DriverMiddleware):
    async def put_part(self, upload, number, offset, data):
        data = [bytes(each[:-1]) + b"\0" if len(each) % 2 else each for each in data]
        return await super().put_part(upload, number, offset, data)


class CompletesOnePageOfParts(DriverMiddleware):
    async def complete_upload(self, upload, parts, options):
        if len(parts) > 1000:
            parts = parts[:1000]
            size = sum(part.size for part in parts)
            options = dataclasses.replace(options, size=size)
        return await super().complete_upload(upload, parts, options)


def never_count_parts(monkeypatch):
    monkeypatch.setattr(_uploader.PartUploader, "_check_room", lambda self, size: None)


def send_any_tail_over_the_least_size(monkeypatch):
    monkeypatch.setattr(
        _uploader.PartUploader,
        "_may_ship_buffer",
        lambda self: self._buffered >= self._capabilities.min_part_size,
    )


def send_every_tail(monkeypatch):
    monkeypatch.setattr(_uploader.PartUploader, "_may_ship_buffer", lambda self: True)


MUTATIONS = (
    Mutation(case_id="W26", fault="parts are joined as they come", wrap=JoinsAsTheyCome),
    Mutation(case_id="W27", fault="parts are joined as they come", wrap=JoinsAsTheyCome),
    Mutation(case_id="W30", fault="odd ends become zero", wrap=OddEndsBecomeZero),
    Mutation(
        case_id="W36",
        fault="only the first page of parts is completed",
        wrap=CompletesOnePageOfParts,
        known_bugs=(16,),
    ),
    Mutation(case_id="W37", fault="nobody counts the parts", sabotage=never_count_parts),
    Mutation(
        case_id="W38",
        fault="a suspension sends a part of another size",
        sabotage=send_any_tail_over_the_least_size,
    ),
    Mutation(case_id="W39", fault="a suspension sends a small part", sabotage=send_every_tail),
)
