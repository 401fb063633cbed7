"""The drivers beside those who do the same, on the same store.

```text
_resume         what it costs to go on with an upload of many parts
_table          ratios and aims
_rounds         the alternating rounds, and what else is counted
  _memory       the peak of this process
_works          what is done, and how it is verified
_local_sites    files and memory, and those who compete on them
_sites          servers with their buckets, and those who compete on them
  _ours         Storage on a driver
  _aiobotocore, _gcsfs, _azure_sdk    what the drivers are built on, called directly
  _file_api     the libraries' high-level interface
  _obstore, _opendal
  _local        plain system calls, a dictionary, and fsspec's filesystems
_contender      the seven calls that each of them does
```
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks._report import Report

if TYPE_CHECKING:
    from benchmarks.drivers._sites import Site

ROUNDS = 5


def s3(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Compare on SeaweedFS."""
    from benchmarks.drivers._sites import S3Site

    return _compare(S3Site, rounds, quick=quick)


def gcs(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Compare on fake-gcs-server."""
    from benchmarks.drivers._sites import GcsSite

    return _compare(GcsSite, rounds, quick=quick)


def gcs_strict(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Compare on the strict fake."""
    from benchmarks.drivers._sites import StrictGcsSite

    return _compare(StrictGcsSite, rounds, quick=quick)


def azure(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Compare on Azurite."""
    from benchmarks.drivers._sites import AzureSite

    return _compare(AzureSite, rounds, quick=quick)


def filesystem(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Compare on the local disk."""
    from benchmarks.drivers._local_sites import FilesSite

    return _compare(FilesSite, rounds, quick=quick)


def fsspec(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Compare the driver for fsspec's filesystems with one of them."""
    from benchmarks.drivers._local_sites import FsspecSite

    return _compare(FsspecSite, rounds, quick=quick)


def inmemory(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Compare in memory."""
    from benchmarks.drivers._local_sites import MemorySite

    return _compare(MemorySite, rounds, quick=quick)


def resume(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Measure how long it takes to go on with an upload, on every store."""
    from benchmarks.drivers._resume import run

    with _telling() as tell:
        return run(rounds or ROUNDS, tell, quick=quick)


def _compare(site_class: Callable[[Path], Site], rounds: int | None, *, quick: bool) -> Report:
    from benchmarks.drivers._rounds import measure
    from benchmarks.drivers._table import table
    from benchmarks.drivers._works import QUICK, Sizes

    rounds = rounds or (1 if quick else ROUNDS)
    with _telling() as tell, tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as folder:
        site = site_class(Path(folder))
        say = partial(_say, tell, site.name)
        say("starting")
        sizes = QUICK if quick else Sizes()
        sizes = replace(sizes, entries=[count for count in sizes.entries if count <= site.entries])
        with site.server or nullcontext():
            contenders, measured = asyncio.run(measure(site, sizes, rounds, say))
    return table(site, contenders, measured, rounds)


def _say(tell: Callable[[str], None], name: str, text: str) -> None:
    tell(f"{name}: {text}")


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("") as status:
        yield status.update
