"""xarray, zarr and dask through `storagedriver://`, in an environment of their own."""

from __future__ import annotations

import importlib
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MEMBERS = (ROOT, ROOT / "drivers" / "filesystem", ROOT / "drivers" / "fsspec")

PROGRAM = """
import dask.array, dask.dataframe, numpy, pandas, xarray

storage = {"driver": "filesystem", "parameters": {"root_directory": "data"}}
options = {"config": {"storage": storage}}
numbers = numpy.arange(1000.0).reshape(10, 100)

cube = xarray.Dataset({"numbers": (("t", "x"), numbers)})
cube.to_zarr("storagedriver://cubes/one.zarr", storage_options=options)
opened = xarray.open_zarr("storagedriver://cubes/one.zarr", storage_options=options)
assert numpy.array_equal(opened["numbers"].values, numbers)

pieces = dask.array.from_array(numbers, chunks=(5, 50))
dask.array.to_zarr(pieces, "storagedriver://cubes/two.zarr", storage_options=options)
opened = dask.array.from_zarr("storagedriver://cubes/two.zarr", storage_options=options)
assert numpy.array_equal(opened.compute(), numbers)

table = dask.dataframe.from_pandas(pandas.DataFrame({"n": range(100)}), npartitions=3)
table.to_csv("storagedriver://table/part-*.csv", storage_options=options, index=False)
opened = dask.dataframe.read_csv("storagedriver://table/part-*.csv", storage_options=options)
assert list(opened.compute().n) == list(range(100))
"""


@pytest.mark.large
def test_arrays_and_tables_are_written_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    workspace = importlib.import_module("workspace")
    python = tmp_path / "environment" / "bin" / "python"
    venv.create(python.parents[1], with_pip=True, symlinks=True)
    ours = [part for member in MEMBERS for part in ("--editable", member)]
    workspace.install(python, "--quiet", *ours, "zarr", "xarray", "dask[array,dataframe]")
    subprocess.run([python, "-c", PROGRAM], cwd=tmp_path, check=True)
    assert {"cubes", "table"} <= {path.name for path in (tmp_path / "data").iterdir()}
