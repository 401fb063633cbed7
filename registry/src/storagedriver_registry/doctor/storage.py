"""The storage, by the core's own command: `storagedriver doctor --json`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storagedriver_registry.configuration import Configuration
from storagedriver_registry.doctor.findings import Finding

# What the core reads of the environment is not the registry's.
_CORES = "STORAGEDRIVER__"


def examine_storage(
    configuration: Configuration, place: Path, *, read_only: bool, seconds: float
) -> Iterator[Finding]:
    """Give what the core's command finds, as it finds it.

    Args:
        configuration: Names the storage.
        place: The file that it is from, for messages.
        read_only: Leave out what writes.
        seconds: What one step may take.
    """
    assert configuration.backend is not None
    text = configuration.backend.to_yaml(reveal_secrets=True).replace("$", "$$")
    # Without a name: nobody else can read it, and nothing is left of it.
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        file.seek(0)
        source = f"/dev/fd/{file.fileno()}"
        command = [sys.executable, "-m", "storagedriver_core.cli", "doctor", source]
        command += ["--json", "--timeout", str(seconds), *(["--read-only"] if read_only else [])]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_CORES)
        }
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[file.fileno()],
            env=environment,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                yield _finding(json.loads(line.replace(source, str(place))))
            # What it has to say of itself is not much: the pipe holds it.
            said = process.stderr.read().strip()
            status = process.wait()
        if status not in (0, 1, 2):
            detail = said.splitlines()[-1] if said else f"exit status {status}"
            yield Finding("storage", "failed", detail)


def _finding(known: dict[str, Any]) -> Finding:
    facts = known.get("facts", {})
    if known["step"] == "identity":
        # For people; the first is in the line already.
        known["help"] = [f"{name}: {value}" for name, value in facts.items()][1:]
    known["step"] = f"storage: {known['step']}"
    known["help"] = tuple(known.get("help", ()))
    return Finding(**known)
