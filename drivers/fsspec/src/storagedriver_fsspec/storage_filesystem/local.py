"""Local files: what `put` reads, and what `get` writes."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import BinaryIO, Self

from fsspec.callbacks import Callback


class LocalSource:
    """A local file to read; each read is told to a callback."""

    def __init__(self, path: str, callback: Callback) -> None:
        self._file = Path(path).open("rb")  # noqa: SIM115  # the caller's `with` closes it
        self._callback = callback
        callback.set_size(os.fstat(self._file.fileno()).st_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        data = self._file.read(size)
        self._callback.relative_update(len(data))
        return data


class LocalTarget:
    """A local file to write: it shows when all of it is there, or what was there stays."""

    def __init__(self, path: str, callback: Callback) -> None:
        self._path = Path(path).absolute()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._callback = callback
        self._file: BinaryIO = NamedTemporaryFile(  # type: ignore[assignment]  # noqa: SIM115  # acts as a BinaryIO; __exit__ closes it
            dir=self._path.parent, prefix=f".{self._path.name}.", delete=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        temporary = Path(self._file.name)
        if kind is None:
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(self._path)
        else:
            temporary.unlink()

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self._callback.relative_update(len(data))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
