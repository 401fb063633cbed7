"""The drivers of cloud stores beside those who do the same, on the same server.

```text
_sites          a server, its bucket, and those who compete on it
_contender      the five calls that each of them does
  _ours         Storage on a driver
  _aiobotocore, _gcsfs, _azure_sdk    what the drivers are built on, called directly
  _file_api     the libraries' high-level interface
  _obstore, _opendal
_works          what is done, and how it is verified
_rounds         the alternating rounds
_table          ratios and aims
```
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks._report import Report

if TYPE_CHECKING:
    from benchmarks.cloud_drivers._sites import Site

ROUNDS = 7


def s3(rounds: int | None = None) -> Report:
    """Compare on SeaweedFS."""
    from benchmarks.cloud_drivers._sites import S3Site

    return _compare(S3Site, rounds or ROUNDS)


def gcs(rounds: int | None = None) -> Report:
    """Compare on fake-gcs-server."""
    from benchmarks.cloud_drivers._sites import GcsSite

    return _compare(GcsSite, rounds or ROUNDS)


def gcs_strict(rounds: int | None = None) -> Report:
    """Compare on the strict fake."""
    from benchmarks.cloud_drivers._sites import StrictGcsSite

    return _compare(StrictGcsSite, rounds or ROUNDS)


def azure(rounds: int | None = None) -> Report:
    """Compare on Azurite."""
    from benchmarks.cloud_drivers._sites import AzureSite

    return _compare(AzureSite, rounds or ROUNDS)


def _compare(site_class: Callable[[Path], Site], rounds: int) -> Report:
    from benchmarks.cloud_drivers._rounds import measure
    from benchmarks.cloud_drivers._table import table

    with _telling() as tell, tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as folder:
        site = site_class(Path(folder))
        tell(f"{site.name}: starting")
        with site.server:
            contenders, measured = asyncio.run(
                measure(site, rounds, lambda text: tell(f"{site.name}: {text}"))
            )
    return table(site, contenders, measured, rounds)


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("") as status:
        yield status.update
