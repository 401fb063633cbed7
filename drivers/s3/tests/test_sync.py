"""`storagedriver sync` from a disk to a bucket, killed at random moments."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers.seaweedfs import SeaweedFS
from storagedriver_core import open_storage

MIB = 1 << 20

# Checkpoints as far apart as the size needs: a default of 64 MiB would be past a small file.
MAIN = """
import os, signal, sys
from storagedriver_core.cli import _mirror, _state, main
_mirror.checkpoint_bytes = int(sys.argv.pop(1))
last = int(os.environ.get("KILLED_AT_CHECKPOINT", -1))
save = _state.KeptState.save
def save_and_die(self, state):
    global last
    save(self, state)
    last -= 1
    if last == 0:
        os.kill(os.getpid(), signal.SIGKILL)
_state.KeptState.save = save_and_die
main()
"""


@dataclass(frozen=True)
class Scale:
    """How much there is to copy, and how often the process is killed."""

    files: int
    large_bytes: int
    checkpoint_bytes: int
    kills: int
    seconds: tuple[float, float]


SMALL = Scale(40, 24 * MIB, 6 * MIB, 3, (0.8, 2.0))
FULL = Scale(2000, 5 * 1024 * MIB, 64 * MIB, 12, (2.0, 20.0))


@pytest.mark.parametrize(
    "scale", [SMALL, pytest.param(FULL, marks=pytest.mark.large)], ids=["small", "full"]
)
def test_killed_syncs_end_in_equal_trees(
    scale: Scale, tmp_path: Path, seaweedfs: SeaweedFS
) -> None:
    bucket = f"sync-{scale.files}"
    seaweedfs.create_bucket(bucket)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    root = tmp_path / "disk"
    write_tree(root, scale, chance)
    disk, cloud = tmp_path / "disk.json", tmp_path / "cloud.json"
    disk.write_text(configuration("filesystem", root_directory=str(root)))
    cloud.write_text(
        configuration(
            "s3",
            bucket=bucket,
            preset="seaweedfs",
            endpoint=seaweedfs.url,
            access_key=seaweedfs.access_key,
            secret_key=seaweedfs.secret_key,
            region=seaweedfs.region,
        )
    )
    command = [sys.executable, "-c", MAIN, str(scale.checkpoint_bytes)]
    command += ["sync", str(disk), f"{cloud}:/copy", "--json"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}

    # However fast the machine is, it is killed once.
    first = subprocess.run(
        command, env={**environment, "KILLED_AT_CHECKPOINT": "2"}, stdout=subprocess.DEVNULL
    )
    assert first.returncode == -signal.SIGKILL
    killed = 1
    for _ in range(scale.kills - 1):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(*scale.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()

    done = run(command, environment)
    print(f"killed {killed} times; the last run: {done}")
    assert done["failed"] == {}
    assert done["copied"] + done["unchanged"] == scale.files + 1
    assert asyncio.run(digests(cloud, "/copy/")) == asyncio.run(digests(disk, "/"))
    again = run(command, environment)
    print(f"a rerun: {again}")
    assert (again["copied"], again["copied_bytes"]) == (0, 0)
    assert again["unchanged"] == scale.files + 1
    assert not list((tmp_path / "state").rglob("*.part"))


def run(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run a sync to its end, and give its report."""
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return report


def configuration(driver: str, **parameters: object) -> str:
    return json.dumps({"storage": {"driver": driver, "parameters": parameters}})


def write_tree(root: Path, scale: Scale, chance: random.Random) -> None:
    for number in range(scale.files):
        path = root / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.choice((0, 1, 4096, 70_000))))
    with (root / "d3" / "large").open("wb") as file:
        for _ in range(scale.large_bytes // MIB):
            file.write(chance.randbytes(MIB))


async def digests(config: Path, below: str) -> dict[str, str]:
    """Give the digest of each file, by what follows `below` in its path."""
    found = {}
    async with open_storage(config) as storage:
        async for info in storage.walk(below.rstrip("/") or "/"):
            digest = hashlib.sha256()
            async with await storage.reader(info.path) as reader:
                async for chunk in reader:
                    digest.update(chunk)
            found[info.path.removeprefix(below)] = digest.hexdigest()
    return found
