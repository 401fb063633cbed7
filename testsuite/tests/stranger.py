"""What a stranger first changes in the package that `storagedriver new` has written."""

from __future__ import annotations

from pathlib import Path

SUMMARY = "Keeps everything in the stranger's own store"
METADATA_BYTES = 4096


def edit(package: Path) -> None:
    """Say what the driver is, and declare a limit of its store."""
    replace(package, "hooks.py", '"Keeps everything in one SQLite file"', f'"{SUMMARY}"')
    replace(package, "_driver.py", "_metadata_bytes=8192", f"_metadata_bytes={METADATA_BYTES}")


def replace(package: Path, name: str, old: str, new: str) -> None:
    (file,) = package.glob(f"src/*/{name}")
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{name} has not one {old}"
    file.write_text(text.replace(old, new), encoding="utf-8")
