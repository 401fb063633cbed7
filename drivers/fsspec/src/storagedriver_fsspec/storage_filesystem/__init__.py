"""The other way round: any configured storage as an fsspec filesystem, `storagedriver://`.

The driver of this package makes a storage of an fsspec filesystem; this makes an fsspec filesystem
of a storage, so that pandas, dask, xarray and zarr read and write through it, middleware included.
fsspec finds it by the entry point `fsspec.specs`.
"""

# General layout. A module imports only from those above it:
#
#   file         an open file: read by ranges of one version, written whole or not at all
#   local        the local files of `get` and `put`
#   filesystem   paths, listings, whole files, moving and deleting
#
# Nothing here is imported by the driver.

from __future__ import annotations

from storagedriver_fsspec.storage_filesystem.filesystem import StorageFileSystem

__all__ = ["StorageFileSystem"]
