"""A crowd of idle connections and slow readers beside one client that is fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.registry_crowd import MOST_BYTES, NUMBERS, turn
from benchmarks.registry_crowd._crowd import Crowd, Numbers
from benchmarks.registry_crowd._fast import Fast, push_place
from benchmarks.registry_load._plan import MIB, Amount
from benchmarks.registry_load._servers import KINDS, Contender, Ours, Running
from benchmarks.registry_load._wire import LoadError

FEW = Numbers(idle=50, slow=10, pause=0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with Contender("ours", KINDS["ours"]).running(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("numbers", "size", "requests"),
    [
        pytest.param(FEW, 16 * MIB, 20, id="small"),
        pytest.param(NUMBERS, 64 * MIB, 300, marks=pytest.mark.large, id="whole"),
    ],
)
def test_a_crowd_takes_no_memory_and_everybody_is_answered_rightly(
    server: Running, numbers: Numbers, size: int, requests: int
) -> None:
    place = push_place(server.url, size)
    assert server.pid is not None
    # Each byte is compared, the crowd's too, and each idle connection is asked once more.
    seen = turn(place, server.pid, numbers, Amount(count=requests))
    assert [pace.requests for pace in seen.paces.values()] == [requests] * 3
    assert seen.peak <= MOST_BYTES


def test_other_bytes_are_noticed(server: Running) -> None:
    place = push_place(server.url, MIB)
    path, content = place.large
    wrong = replace(place, large=(path, bytes([content[0] ^ 1]) + content[1:]))
    with pytest.raises(LoadError, match="other bytes"), Crowd(wrong, Numbers(0, 1, step=MIB)):
        pass
    wrong = replace(place, small=(place.small[0], b"else"))
    with Fast(wrong) as fast, pytest.raises(LoadError, match="other ones"):
        fast.ask(fast.titles[1], Amount(count=2))


@pytest.mark.parametrize("numbers", [Numbers(idle=0, slow=1), Numbers(idle=1, slow=0)])
def test_one_that_is_cut_off_is_noticed(tmp_path: Path, numbers: Numbers) -> None:
    with Ours(tmp_path, {"filesystem": {"rootdirectory": str(tmp_path / "data")}}) as server:
        place = push_place(server.url, 64 * MIB)
        with pytest.raises(LoadError, match="the crowd: "), Crowd(place, numbers):
            server.kill()
