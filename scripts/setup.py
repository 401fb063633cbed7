"""Makes `.venv` with every member (editable) and the development tools; `--pins` renews the pins.

Needs nothing but Python: pip comes with the environment, and uv is installed into it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# Whoever clones the repository may have any Python, and older ones lack modules imported below.
if sys.version_info < (3, 11):  # noqa: UP036  # an older one runs this, too
    sys.exit("Python 3.11 or later is needed; name one: make PYTHON=python3.11 ...")

from workspace import CONSTRAINTS, ROOT, install, load_project, members, output, run

VENV = ROOT / ".venv"


def main() -> None:
    """Runs what the command line asks for."""
    if "--pins" in sys.argv[1:]:
        renew_pins()
    else:
        set_up()


def set_up() -> None:
    """Brings `.venv` up to date, at once when nothing it depends on has changed."""
    stamp, state = VENV / ".setup", _state()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == state:
        return
    _fill(VENV, "--constraint", CONSTRAINTS, "--build-constraint", CONSTRAINTS)
    stamp.write_text(state, encoding="utf-8")


def renew_pins() -> None:
    """Writes what a fresh, unconstrained environment gets today to constraints.txt."""
    with tempfile.TemporaryDirectory() as folder:
        python = _fill(Path(folder))
        frozen = output(python, "-m", "pip", "freeze", "--exclude-editable").splitlines()
    head = "# Everything that `make setup` installs. Written by `make pins`."
    pins = (line for line in frozen if "==" in line)
    CONSTRAINTS.write_text("\n".join([head, *pins, ""]), encoding="utf-8")


def _fill(environment: Path, *constraints: str | Path) -> Path:
    # An environment of another interpreter or of a moved folder cannot be repaired, only replaced.
    python = environment / "bin" / "python"
    venv.create(environment, clear=not _runs(python), with_pip=True, symlinks=True)
    run(python, "-m", "pip", "install", "--quiet", "uv", *constraints[:2])
    editable = [part for folder in members() for part in ("--editable", folder)]
    tools = load_project(ROOT)["dependency-groups"]["dev"]
    install(python, "--quiet", *editable, *tools, *constraints)
    return python


def _runs(python: Path) -> bool:
    try:
        found = output(python, "-c", "import sys, pip; print(sys.prefix, sys.version)")
    except (OSError, subprocess.SubprocessError):
        return False
    return found.strip() == f"{python.parent.parent} {sys.version}"


def _state() -> str:
    files = [CONSTRAINTS, *(folder / "pyproject.toml" for folder in members())]
    digest = hashlib.sha256(f"{ROOT}\n{sys.version}".encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
