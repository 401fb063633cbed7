"""What a driver declares that it can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from storagedriver_core._errors import ConfigurationError, UnsupportedMethodError

PathAlphabet: TypeAlias = Literal["portable", "unicode", "any"]
MoveCost: TypeAlias = Literal["client_copy", "server_copy", "atomic"]


def _verb() -> Any:
    """A yes or no of which False is the narrower."""
    return field(default=False, metadata={"narrower": "false"})


def _demand() -> Any:
    """A yes or no of which True is the narrower."""
    return field(default=False, metadata={"narrower": "true"})


def _most(default: int | None = None) -> Any:
    """An upper limit; None is no limit, lower is narrower."""
    return field(default=default, metadata={"narrower": "lower"})


def _least(default: int = 0) -> Any:
    """A demand on the caller; higher is narrower."""
    return field(default=default, metadata={"narrower": "higher"})


def _choice(default: str, *order: str) -> Any:
    """One of several words, the narrowest first."""
    return field(default=default, metadata={"narrower": "earlier", "order": order})


def _fixed(default: bool) -> Any:
    """A property of the store that nothing can change."""
    return field(default=default, metadata={"narrower": "never"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Verbs, promises and limits of one configured driver.

    What is not declared raises `UnsupportedMethodError` before any request; what is declared has
    tests that may not skip. Configuration and middleware may narrow it, never widen.

    Verbs:
        get_range: Readers take offset, length and suffix.
        get_with_conditions: Reads and stats take `Conditions`.
        put_if_absent: Create-only `put_content` and commit.
        put_if_match: Compare-and-swap `put_content`.
        put_with_metadata: Content type and user metadata are kept.
        copy: Copies without the client's bytes.
        copy_if_absent: Create-only copy.
        move_if_absent: Create-only move.
        copy_part: A range of a stored object can become a part of an upload.
        upload: Resumable writers.
        upload_out_of_order: Parts may be put in any order.
        list_uploads: Uploads in progress can be listed, and so purged.
        walk_with_start_after: `list` and `walk` take `start_after`.
        checksum_algorithms: Digests that the store computes by itself.
        sign_get: Redirect URLs for `GET`.
        sign_head: Redirect URLs for `HEAD`.
        sign_put: Redirect URLs for `PUT`.
        sign_put_with_content_type: Such a URL can demand a media type of the request.
        local_path: Files can be opened by a local path.
        late_target: A commit may publish at another path at no cost.

    Cost:
        move: `atomic`; `server_copy` (a copy at the store, then a delete); `client_copy` (the
            bytes pass through the client).

    Promises:
        atomic_commit: A write is seen whole or not at all.
        list_after_write: A write or delete shows in the next listing.
        durable_on_commit: What is acknowledged survives a power cut.
        durable_parts: A part is durable when `put_part` returns; else after `sync_upload`.
        ordered_walk: `list` and `walk` yield in byte order of the full path.
        fresh_reads: A read sees the last acknowledged write of any process.
        pinned_reads: A reader opened before a replacement reads the old bytes to the end.
        shared_between_processes: Another process that opens the same store sees the same objects.
        bounded_memory: Memory does not grow with what is stored.
        abort_frees: Aborting an upload returns its space at once.
        independent_uploads: Uploads on one path do not disturb each other.
        any_event_loop: One instance may be used from several event loops.

    Names:
        path_alphabet: `portable` is `[A-Za-z0-9._-]`; `unicode` is every printable character but
            `/`; `any` is also control characters but NUL.
        case_sensitive: `A` and `a` are two names.
        normalizes_unicode: NFC and NFD spellings are one name.
        file_and_directory_share_name: `/a` and `/a/b` can both be files.
        max_path_bytes: Length of a path in UTF-8.
        max_component_bytes: Length of a component of it.

    Uploads:
        min_part_size: Least size in bytes of every part but the last. A driver with neither this
            nor `max_parts` takes chunks as they come, and no ledger of parts is kept for it.
        max_part_size: Greatest size of a part in bytes; None for no limit.
        max_parts: Greatest number of parts; None for no limit.
        part_alignment: Every part but the last is a multiple of so many bytes.
        equal_parts: Every part but the last has the same size.

    Limits:
        max_object_size: Bytes of an object; None for no limit, as in the next three.
        max_put_size: Bytes of one `put_content`; what is larger goes up in parts.
        max_single_copy: Bytes of one copy or move at the store; what is larger goes in parts.
        max_metadata_bytes: Bytes of the keys and values of user metadata together.
    """

    get_range: bool = _verb()
    get_with_conditions: bool = _verb()
    put_if_absent: bool = _verb()
    put_if_match: bool = _verb()
    put_with_metadata: bool = _verb()
    copy: bool = _verb()
    copy_if_absent: bool = _verb()
    move_if_absent: bool = _verb()
    copy_part: bool = _verb()
    upload: bool = _verb()
    upload_out_of_order: bool = _verb()
    list_uploads: bool = _verb()
    walk_with_start_after: bool = _verb()
    checksum_algorithms: tuple[str, ...] = field(default=(), metadata={"narrower": "subset"})
    sign_get: bool = _verb()
    sign_head: bool = _verb()
    sign_put: bool = _verb()
    sign_put_with_content_type: bool = _verb()
    local_path: bool = _verb()
    late_target: bool = _verb()

    move: MoveCost = _choice("client_copy", "client_copy", "server_copy", "atomic")  # noqa: RUF009  # a field()

    atomic_commit: bool = _verb()
    list_after_write: bool = _verb()
    durable_on_commit: bool = _verb()
    durable_parts: bool = _verb()
    ordered_walk: bool = _verb()
    fresh_reads: bool = _verb()
    pinned_reads: bool = _verb()
    shared_between_processes: bool = _verb()
    bounded_memory: bool = _verb()
    abort_frees: bool = _verb()
    independent_uploads: bool = _verb()
    any_event_loop: bool = _verb()

    path_alphabet: PathAlphabet = _choice("portable", "portable", "unicode", "any")  # noqa: RUF009  # a field()
    case_sensitive: bool = _fixed(True)
    normalizes_unicode: bool = _fixed(False)
    file_and_directory_share_name: bool = _fixed(False)
    max_path_bytes: int = _most(1024)
    max_component_bytes: int = _most(255)

    min_part_size: int = _least()
    max_part_size: int | None = _most()
    max_parts: int | None = _most()
    part_alignment: int = _least(1)
    equal_parts: bool = _demand()
    max_object_size: int | None = _most()
    max_put_size: int | None = _most()
    max_single_copy: int | None = _most()
    max_metadata_bytes: int | None = _most()

    @property
    def keeps_ledger(self) -> bool:
        """Whether uploads are made of sized, counted parts rather than chunks as they come."""
        return self.min_part_size > 0 or self.max_parts is not None

    def to_json(self) -> dict[str, Any]:
        """Give every field as a value that `json.dumps` takes."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def narrow(self, changes: Mapping[str, Any]) -> Capabilities:
        """Give a copy with `changes`, each of which must be narrower or equal.

        Raises:
            ConfigurationError: A field is unknown, or a change would widen.
        """
        known = {entry.name: entry for entry in dataclasses.fields(self)}
        values: dict[str, Any] = {}
        for name, new in changes.items():
            if name not in known:
                raise ConfigurationError(f"unknown capability {name!r}")
            values[name] = tuple(new) if isinstance(new, list) else new
            if not _is_narrower(known[name], getattr(self, name), values[name]):
                raise ConfigurationError(
                    f"capability {name!r} cannot be widened from {getattr(self, name)!r} to {new!r}"
                )
        return dataclasses.replace(self, **values)


class _Declaring(Protocol):
    @property
    def capabilities(self) -> Capabilities: ...


def unsupported(driver: _Declaring, capability: str) -> UnsupportedMethodError:
    """Give the error of a method that a driver leaves as it is in its base class."""
    message = ""
    if getattr(driver.capabilities, capability):
        name = type(driver).__name__
        message = f"{name} declares the capability {capability!r}, and lacks a method of it"
    return UnsupportedMethodError(message, capability=capability)


def _is_narrower(entry: dataclasses.Field[Any], old: Any, new: Any) -> bool:
    if new == old:
        return True
    match entry.metadata["narrower"]:
        case "false":
            return new is False
        case "true":
            return new is True
        case "lower":
            return isinstance(new, int) and new > 0 and (old is None or new < old)
        case "higher":
            return isinstance(new, int) and new > old
        case "subset":
            return set(new) < set(old)
        case "earlier":
            order = entry.metadata["order"]
            return new in order and order.index(new) < order.index(old)
    return False
