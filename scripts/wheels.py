"""Builds every member's wheel into dist/ and tries each in an environment of its own.

An import that works in the workspace only, because another member brought the package, fails here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from workspace import CONSTRAINTS, ROOT, install, load_project, members, run

DIST = ROOT / "dist"

# Modules that need what is an extra of their package: a driver's harness needs the suite.
EXTRAS = {".harness": "conformance", ".tracing.spans": "tracing"}

# Runs inside the clean environment: every module, and everything that other packages find by name.
TRY = """
import importlib, importlib.metadata, pkgutil, sys
package, distribution, *left_out = sys.argv[1:]
for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
    if not module.name.endswith((".__main__", *left_out)):
        importlib.import_module(module.name)
for entry_point in importlib.metadata.distribution(distribution).entry_points:
    entry_point.load()
"""


def main() -> None:
    """Builds and tries all members, and fails with the names of those that do not work."""
    shutil.rmtree(DIST, ignore_errors=True)
    wheels = {str(load_project(folder)["project"]["name"]): build(folder) for folder in members()}
    broken = [name for name in wheels if not works(name, wheels)]
    if broken:
        sys.exit(f"wheels that do not work alone: {', '.join(broken)}")


def build(folder: Path) -> Path:
    """Builds one member's wheel, and returns where it lies."""
    before = set(DIST.glob("*.whl"))
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        DIST,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = set(DIST.glob("*.whl")) - before
    return wheel


def constrained_to(wheels: dict[str, Path], folder: Path) -> tuple[str | Path, ...]:
    """Returns the options that install these wheels, and the pinned versions of all others.

    Args:
        wheels: By the names of their distributions.
        folder: Where the options may refer to a file.
    """
    # A package index may know a project of the same name as a member that is needed here.
    siblings = folder / "siblings.txt"
    siblings.write_text("".join(f"{key} @ {wheels[key].as_uri()}\n" for key in wheels))
    return ("--constraint", CONSTRAINTS, "--constraint", siblings)


def works(name: str, wheels: dict[str, Path]) -> bool:
    """Says whether a wheel with nothing but its dependencies can be imported, and is complete."""
    package = name.replace("-", "_")
    contents = zipfile.ZipFile(wheels[name]).namelist()
    # `storagedriver new` writes a package with its test.
    has_tests = any("/tests/" in entry and "/new/" not in entry for entry in contents)
    if f"{package}/py.typed" not in contents or has_tests:
        print(f"{name}: its wheel lacks py.typed or holds tests", file=sys.stderr)
        return False
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "venv" / "bin" / "python"
        venv.create(python.parent.parent, with_pip=True, symlinks=True)
        try:
            constraints = constrained_to(wheels, Path(folder))
            install(python, "--quiet", wheels[name], *constraints)
            run(python, "-I", "-c", TRY, package, name, *EXTRAS, cwd=folder)
            extras = [
                extra
                for module, extra in EXTRAS.items()
                if f"{package}{module.replace('.', '/')}.py" in contents
            ]
            if extras:
                wheel = f"{wheels[name]}[{','.join(extras)}]"
                install(python, "--quiet", wheel, *constraints)
                run(python, "-I", "-c", TRY, package, name, cwd=folder)
        except subprocess.CalledProcessError:
            return False
    print(f"{name}: works alone", flush=True)
    return True


if __name__ == "__main__":
    main()
