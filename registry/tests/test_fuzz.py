"""Fuzz runs: no failure of the server, no hang, and everything acknowledged is there afterwards.

A run is said by its seed, which is printed where it fails: `FUZZ_SEED=… python -m pytest …` does
the same again. The small runs have the same seed each time; the large ones have another each time.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from registry.tests.fuzzing import RegistryMachine, Target
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.stored_tree import check_directory

SMALL_SEED = 20261125
LARGE_REQUESTS = 20_000
STEPS = 40

PARTS_CACHED = {
    "capabilities": {"max_parts": 1000, "min_part_size": 1024 * 1024},
    "cache": {"blobdescriptor": "inmemory"},
}


@pytest.fixture(params=[{}, PARTS_CACHED], ids=["stream", "parts-cached"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    """One server whose store takes uploads as they come; one that caches and whose wants parts."""
    section: Mapping[str, object] = request.param
    with running(our_server(tmp_path, {"storage": section})) as server:
        yield server


@pytest.fixture
def target(server: ServerProcess) -> Iterator[Target]:
    target = Target(server.url)
    with target.http:
        yield target


def run_machines(target: Target, number: int, examples: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        # Finding the shortest sequence takes minutes; whoever has the seed can do it.
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    make: Any = functools.partial(RegistryMachine, target)
    print(f"FUZZ_SEED={number}")
    run_state_machine_as_test(seed(number)(make), settings=chosen)


def check_server(server: ServerProcess, target: Target) -> None:
    """See that it is well, and has left nothing behind."""
    assert target.http.get("/v2/").status_code == 200
    target.http.close()  # or the server waits for it
    assert server.stop() == 0
    assert "a request failed" not in server.log
    assert "Traceback" not in server.log
    assert check_directory(server.data) > 0


def test_small_fuzz_run(server: ServerProcess, target: Target) -> None:
    run_machines(target, int(os.environ.get("FUZZ_SEED", SMALL_SEED)), examples=8)
    check_server(server, target)


@pytest.mark.large
def test_large_fuzz_run(server: ServerProcess, target: Target) -> None:
    number = int(os.environ.get("FUZZ_SEED", secrets.randbits(32)))
    while target.requests < LARGE_REQUESTS // 2:
        run_machines(target, number, examples=50)
        number += 1
    print(f"{target.requests} requests")
    check_server(server, target)
