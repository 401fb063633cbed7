"""Schemathesis on the description that the registry serves: what it says is what is answered.

Its run is said by a seed, which its output has: `FUZZ_SEED=… python -m pytest …` does it again. The
small runs have the same seed each time, the large one has another each time.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from registry.tests.client import Repository
from registry.tests.fuzzing import TIMEOUT_SECONDS
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.stored_tree import check_directory

PROGRAM = str(Path(sys.executable).with_name("schemathesis"))
SMALL_SEED = 20261125
# A manifest that names what the repository does not have is well-formed, and is 400.
EXCLUDED_CHECKS = "positive_data_acceptance"


def schemathesis(
    server: ServerProcess, folder: Path, seed: int, *options: str, settings: str = ""
) -> int:
    """Run it, in its own process; give how many requests it made.

    Args:
        server: What is tested.
        folder: For its configuration.
        seed: The seed.
        options: Options of its command.
        settings: Lines of its configuration.
    """
    (folder / "schemathesis.toml").write_text(f"color = false\nwarnings = false\n{settings}")
    command = [
        *(PROGRAM, "--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{server.url}/v2/_openapi.json", "--seed", str(seed), "--no-shrink"),
        *("--exclude-checks", EXCLUDED_CHECKS, "--request-timeout", str(TIMEOUT_SECONDS)),
    ]
    done = subprocess.run(
        [*command, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, f"FUZZ_SEED={seed}\n{done.stdout}\n{done.stderr}"
    counted = re.search(r"(\d+) generated, \1 passed", done.stdout)
    assert counted is not None, done.stdout
    return int(counted[1])


def push_known(http: httpx.Client) -> tuple[str, str]:
    """Push an image, and begin an upload.

    Returns:
        Settings that make schemathesis ask for these, and the upload's URL.
    """
    repository = Repository(http, "known/image")
    repository.push_image("v1")
    location = repository.location(repository.patch(repository.begin(), b"some"))
    values = {
        "name": repository.name,
        "reference": "v1",
        "digest": repository.push_blob(b"layer"),
        "upload_id": httpx.URL(location).path.rpartition("/")[2],
    }
    lines = [f'"path.{name}" = "{value}"' for name, value in values.items()]
    return "\n".join(["[parameters]", *lines]), location


def check_server(server: ServerProcess) -> None:
    assert server.stop() == 0
    assert "a request failed" not in server.log
    assert "Traceback" not in server.log
    check_directory(server.data)


def test_answers_are_those_that_are_described(tmp_path: Path) -> None:
    number = int(os.environ.get("FUZZ_SEED", SMALL_SEED))
    with running(our_server(tmp_path)) as server, httpx.Client(base_url=server.url) as http:
        # What is there, and by methods that let it be; then anything.
        settings, upload = push_known(http)
        lasting = ("--exclude-method", "DELETE", "--exclude-operation-id", "finish_upload")
        options = ("--phases", "coverage", "--mode", "positive", *lasting)
        assert schemathesis(server, tmp_path, number, *options, settings=settings) > 100
        assert schemathesis(server, tmp_path, number, "--phases", "coverage") > 1000
        assert http.delete(upload).status_code == 204
        http.close()  # or the server waits for it
        check_server(server)


@pytest.mark.large
def test_answers_are_those_that_are_described_at_length(tmp_path: Path) -> None:
    number = int(os.environ.get("FUZZ_SEED", secrets.randbits(32)))
    with running(our_server(tmp_path)) as server:
        options = ("--phases", "coverage,fuzzing", "--max-examples", "40")
        count = schemathesis(server, tmp_path, number, *options)
        print(f"FUZZ_SEED={number}: {count} requests")
        check_server(server)
