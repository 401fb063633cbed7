"""The run of kills, on a correct driver and on broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_testsuite.kills import run_kills

from storagedriver_core import Capabilities

from .http_store.driver import HttpDriver
from .http_store.harness import HttpHarness, harness_of

PARTS = 256 * 1024


class ZerosTheFirstPart(HttpDriver):
    async def put_part(self, upload, number, offset, data):  # type: ignore[no-untyped-def]
        if number == 1:
            data = [bytes(sum(map(len, data)))]
        return await super().put_part(upload, number, offset, data)


class CannotList(HttpDriver):
    @property
    def capabilities(self) -> Capabilities:
        return super().capabilities.narrow({"list_uploads": False})


def test_correct_driver_loses_nothing(tmp_path: Path) -> None:
    run = run_kills(HttpHarness(tmp_path), 6, part_size=PARTS, most_seconds=0.15)
    assert run.with_token + run.without_token == 6
    assert len(run.committed) == run.with_token


def test_store_that_cannot_list_uploads_is_judged_by_sidecars(tmp_path: Path) -> None:
    run = run_kills(harness_of(CannotList)(tmp_path), 4, part_size=PARTS, most_seconds=0.15)
    assert run.with_token + run.without_token == 4


def test_driver_that_loses_bytes_is_found_out(tmp_path: Path) -> None:
    # Who is killed before its first part is whole has lost nothing; a busy machine is slow.
    for number, seconds in enumerate((0.6, 0.6, 5.0, 30.0)):
        harness = harness_of(ZerosTheFirstPart)(tmp_path / str(number))
        try:
            run_kills(harness, 6, part_size=PARTS, most_seconds=seconds)
        except AssertionError:
            return
    pytest.fail("nobody saw that bytes were lost")
