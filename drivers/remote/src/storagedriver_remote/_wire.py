"""Options and results of the contract as JSON, the same for both sides.

Times are text, ISO 8601 with an offset. What is null may be left out, and what is not known is not
looked at, so that a newer side can say more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from storagedriver_core import (
    CompleteOptions,
    Conditions,
    DeleteReport,
    FileInfo,
    ListOptions,
    Part,
    PutOptions,
    ReadOptions,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
)
from storagedriver_remote._errors import error_from, error_json

Json = Mapping[str, Any]


def _given(**values: Any) -> dict[str, Any]:
    """Give what says something: neither null nor the value that stands for nothing."""
    return {key: value for key, value in values.items() if value is not None}


def _time(text: str | None) -> datetime | None:
    return None if text is None else moment(text)


def moment(text: str) -> datetime:
    """Read a time."""
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError("a time without an offset")
    return read


def moment_json(when: datetime) -> str:
    """Spell a time."""
    if when.tzinfo is None:
        raise ValueError("a time without an offset")
    return when.isoformat()


def _time_json(when: datetime | None) -> str | None:
    return None if when is None else moment_json(when)


def text(value: Any) -> str:
    """Read or spell a string."""
    if not isinstance(value, str):
        raise TypeError("a string is wanted")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else text(value)


def strings(value: Any) -> dict[str, str]:
    """Read or spell strings by name."""
    return {text(key): text(member) for key, member in value.items()}


def file_json(info: FileInfo) -> dict[str, Any]:
    """Spell a file or directory."""
    return _given(
        path=text(info.path),
        size=count(info.size),
        mod_time=_time_json(info.mod_time),
        is_dir=bool(info.is_dir) or None,
        etag=_text_or_none(info.etag),
        content_type=_text_or_none(info.content_type),
        metadata=None if info.metadata is None else strings(info.metadata),
    )


def file_from(value: Json) -> FileInfo:
    """Read a file or directory."""
    metadata = value.get("metadata")
    return FileInfo(
        path=text(value["path"]),
        size=count(value.get("size", 0)),
        mod_time=_time(value.get("mod_time")),
        is_dir=bool(value.get("is_dir", False)),
        etag=_text_or_none(value.get("etag")),
        content_type=_text_or_none(value.get("content_type")),
        metadata=None if metadata is None else strings(metadata),
    )


def conditions_json(conditions: Conditions | None) -> dict[str, Any] | None:
    """Spell conditions."""
    if conditions is None:
        return None
    return _given(
        if_match=conditions.if_match,
        if_none_match=conditions.if_none_match,
        if_modified_since=_time_json(conditions.if_modified_since),
        if_unmodified_since=_time_json(conditions.if_unmodified_since),
    )


def conditions_from(value: Json | None) -> Conditions | None:
    """Read conditions."""
    if value is None:
        return None
    return Conditions(
        if_match=value.get("if_match"),
        if_none_match=value.get("if_none_match"),
        if_modified_since=_time(value.get("if_modified_since")),
        if_unmodified_since=_time(value.get("if_unmodified_since")),
    )


def read_json(options: ReadOptions) -> dict[str, Any]:
    """Spell which bytes to read."""
    return _given(
        offset=options.offset or None,
        length=options.length,
        suffix=options.suffix,
        conditions=conditions_json(options.conditions),
    )


def read_from(value: Json) -> ReadOptions:
    """Read which bytes to read."""
    return ReadOptions(
        offset=count(value.get("offset") or 0),
        length=_count_or_none(value.get("length")),
        suffix=_count_or_none(value.get("suffix")),
        conditions=conditions_from(value.get("conditions")),
    )


def count(value: Any) -> int:
    """Read or spell a number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a number that is not negative is wanted")
    return value


def _count_or_none(value: Any) -> int | None:
    return None if value is None else count(value)


def put_json(options: PutOptions) -> dict[str, Any]:
    """Spell how to write an object."""
    return _given(
        content_type=options.content_type,
        metadata=dict(options.metadata) or None,
        if_absent=options.if_absent or None,
        if_match=options.if_match,
    )


def put_from(value: Json) -> PutOptions:
    """Read how to write an object."""
    return PutOptions(
        content_type=value.get("content_type"),
        metadata=strings(value.get("metadata") or {}),
        if_absent=bool(value.get("if_absent", False)),
        if_match=value.get("if_match"),
    )


def list_json(options: ListOptions) -> dict[str, Any]:
    """Spell what to list."""
    return _given(start_after=options.start_after, page_size=options.page_size)


def list_from(value: Json) -> ListOptions:
    """Read what to list."""
    return ListOptions(value.get("start_after"), max(1, count(value.get("page_size", 1000))))


def upload_options_json(options: UploadOptions) -> dict[str, Any]:
    """Spell how an upload was opened."""
    return _given(
        content_type=options.content_type,
        metadata=dict(options.metadata) or None,
        part_size=options.part_size or None,
    )


def upload_options_from(value: Json) -> UploadOptions:
    """Read how an upload was opened."""
    return UploadOptions(
        content_type=value.get("content_type"),
        metadata=strings(value.get("metadata") or {}),
        part_size=count(value.get("part_size") or 0),
    )


def upload_json(upload: Upload) -> dict[str, Any]:
    """Spell an upload."""
    return _given(
        path=text(upload.path),
        upload_id=text(upload.upload_id),
        data=strings(upload.data) or None,
        holder=text(upload.holder) or None,
        options=upload_options_json(upload.options) or None,
    )


def upload_from(value: Json) -> Upload:
    """Read an upload."""
    return Upload(
        path=text(value["path"]),
        upload_id=text(value["upload_id"]),
        data=strings(value.get("data") or {}),
        holder=text(value.get("holder", "")),
        options=upload_options_from(value.get("options") or {}),
    )


def part_json(part: Part) -> dict[str, Any]:
    """Spell a part."""
    return _given(
        number=count(part.number),
        offset=count(part.offset),
        size=count(part.size),
        etag=text(part.etag) or None,
    )


def part_from(value: Json) -> Part:
    """Read a part."""
    return Part(
        number=count(value["number"]),
        offset=count(value["offset"]),
        size=count(value["size"]),
        etag=text(value.get("etag", "")),
    )


def complete_json(options: CompleteOptions) -> dict[str, Any]:
    """Spell how to publish an upload."""
    return _given(
        path=options.path,
        size=options.size,
        if_absent=options.if_absent or None,
        digests=dict(options.digests) or None,
    )


def complete_from(value: Json) -> CompleteOptions:
    """Read how to publish an upload."""
    return CompleteOptions(
        path=text(value["path"]),
        size=count(value["size"]),
        if_absent=bool(value.get("if_absent", False)),
        digests=strings(value.get("digests") or {}),
    )


def state_json(state: UploadState) -> dict[str, Any]:
    """Spell what is known of an upload."""
    return _given(
        size=count(state.size),
        completed=None if state.completed is None else file_json(state.completed),
        data=None if state.data is None else strings(state.data),
    )


def state_from(value: Json) -> UploadState:
    """Read what is known of an upload."""
    completed, data = value.get("completed"), value.get("data")
    return UploadState(
        size=count(value["size"]),
        completed=None if completed is None else file_from(completed),
        data=None if data is None else strings(data),
    )


def upload_info_json(info: UploadInfo) -> dict[str, Any]:
    """Spell an entry of the list of uploads."""
    return _given(
        upload=upload_json(info.upload),
        started_at=moment_json(info.started_at),
        updated_at=moment_json(info.updated_at),
        size=_count_or_none(info.size),
        active=bool(info.active) or None,
    )


def upload_info_from(value: Json) -> UploadInfo:
    """Read an entry of the list of uploads."""
    return UploadInfo(
        upload=upload_from(value["upload"]),
        started_at=moment(value["started_at"]),
        updated_at=moment(value["updated_at"]),
        size=_count_or_none(value.get("size")),
        active=bool(value.get("active", False)),
    )


def report_json(report: DeleteReport) -> dict[str, Any]:
    """Spell what became of each path of a `delete_many`."""
    return {
        "deleted": [text(path) for path in report.deleted],
        "missing": [text(path) for path in report.missing],
        "failed": {text(path): error_json(error) for path, error in report.failed.items()},
    }


def report_from(value: Json) -> DeleteReport:
    """Read what became of each path."""
    return DeleteReport(
        deleted=tuple(map(text, value["deleted"])),
        missing=tuple(map(text, value["missing"])),
        failed={path: error_from(error) for path, error in value["failed"].items()},
    )
