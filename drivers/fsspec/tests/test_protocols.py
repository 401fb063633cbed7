"""The table of protocols: that it is data, what each row claims, and that the README says so."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path

import pytest
from fsspec.registry import available_protocols, get_filesystem_class
from storagedriver_fsspec._files import Files, GrowingFiles
from storagedriver_fsspec._protocols import (
    PROTOCOLS,
    UNKNOWN,
    UNKNOWN_ASYNC,
    Protocol,
    protocol_of,
)

from storagedriver_core import Capabilities

README = Path(__file__).parents[1] / "README.md"
DEFAULTS = {each.name: each.default for each in dataclasses.fields(Capabilities)}

UPLOADS = {"upload", "list_uploads", "abort_frees", "independent_uploads"}
CHUNKS = UPLOADS | {"upload_out_of_order", "durable_parts", "min_part_size"}
LISTS = {"ordered_walk", "walk_with_start_after"}
SHARED = {"shared_between_processes", "list_after_write", "fresh_reads"}
LOCAL = {"atomic_commit", "move", "move_if_absent", "put_if_absent", "pinned_reads", "get_range"}
LOCAL |= {"path_alphabet", "late_target"}

CLAIMS = {
    "file": UPLOADS | LISTS | SHARED | LOCAL | {"bounded_memory", "copy", "local_path"},
    "memory": (CHUNKS | LISTS | LOCAL | {"copy", "fresh_reads", "list_after_write"}),
    "sftp": UPLOADS | LISTS | SHARED | LOCAL | {"bounded_memory"},
    "webdav": CHUNKS
    | LISTS
    | SHARED
    | {"late_target", "move", "copy", "get_range", "get_with_conditions", "bounded_memory"}
    | {"path_alphabet"},
    "ftp": CHUNKS | LISTS | SHARED | {"late_target", "move"},
    "smb": CHUNKS | LISTS | SHARED | {"late_target", "move", "case_sensitive"},
    "hdfs": CHUNKS | LISTS | SHARED | {"late_target", "move"},
    "s3": CHUNKS
    | LISTS
    | SHARED
    | {"atomic_commit", "durable_on_commit", "move", "copy", "get_range", "path_alphabet"}
    | {"file_and_directory_share_name", "max_path_bytes"},
}


def claimed(row: Protocol) -> dict[str, object]:
    declared = dataclasses.asdict(row.capabilities)
    return {name: value for name, value in declared.items() if value != DEFAULTS[name]}


@pytest.mark.parametrize("row", PROTOCOLS, ids=lambda row: row.names[0])
def test_row_claims_what_is_pinned_here(row: Protocol) -> None:
    assert set(claimed(row)) == CLAIMS[row.names[0]]


@pytest.mark.parametrize("row", [*PROTOCOLS, UNKNOWN, UNKNOWN_ASYNC])
def test_row_names_an_adapter_that_can_do_what_it_claims(row: Protocol) -> None:
    module, _, name = row.files.partition(":")
    adapter = getattr(importlib.import_module(module), name)
    assert issubclass(adapter, Files)
    assert issubclass(adapter, GrowingFiles) == (row.uploads == "file")
    assert row.capabilities.upload == bool(row.uploads)
    # Without a rename nothing can be bound late, nor moved in one step.
    assert row.stages or not row.capabilities.late_target


def test_every_name_of_the_table_is_one_of_fsspec_and_stands_once() -> None:
    names = [name for row in PROTOCOLS for name in row.names]
    assert len(names) == len(set(names))
    # webdav4 calls itself by a second name, which fsspec learns from its entry points only.
    assert set(names) - {"dav"} <= set(available_protocols())


def test_unknown_protocols_begin_at_no() -> None:
    assert protocol_of("unheard-of", is_async=False) is UNKNOWN
    assert protocol_of("unheard-of", is_async=True) is UNKNOWN_ASYNC
    assert UNKNOWN.capabilities == UNKNOWN_ASYNC.capabilities == Capabilities()
    assert UNKNOWN.threads == 1


def test_asynchronous_protocols_have_the_asynchronous_adapter() -> None:
    assert get_filesystem_class("s3").async_impl
    for name in ("file", "memory", "sftp", "webdav", "ftp"):
        assert not get_filesystem_class(name).async_impl


def readme_table() -> str:
    """Give the table of the README, from the data."""
    names = [name for name in DEFAULTS if any(name in claimed(row) for row in PROTOCOLS)]
    heads = [f"{row.names[0]}{'' if row.shown else ' ¹'}" for row in PROTOCOLS]
    lines = [
        f"| capability | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for name in names:
        cells = [_cell(getattr(row.capabilities, name)) for row in PROTOCOLS]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def test_readme_shows_the_table() -> None:
    assert readme_table() in README.read_text()


def test_readme_names_every_protocol_of_the_table() -> None:
    text = README.read_text()
    for row in PROTOCOLS:
        for name in row.names:
            assert re.search(rf"\b{name}\b", text), name
