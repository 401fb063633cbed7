"""What `Storage` checks for a driver, checked again: requests come from whoever has the token."""

from __future__ import annotations

from typing import Any

from storagedriver_core import (
    Capabilities,
    Conditions,
    InvalidPathError,
    ListOptions,
    PutOptions,
    ReadOptions,
    UnsupportedMethodError,
    is_internal,
    path_checker,
)


class Checks:
    """Refuses what a driver is never asked for.

    Args:
        declared: What is served.
    """

    def __init__(self, declared: Capabilities) -> None:
        self._declared = declared
        self._check_path = path_checker(declared)

    def file(self, path: Any) -> str:
        """Give the path of a file.

        Raises:
            InvalidPathError: It is none that the driver can store.
        """
        if not isinstance(path, str):
            raise InvalidPathError("a path is a string")
        if is_internal(path):
            # Of the portable layer on the other side, which keeps the ends of uploads there.
            if not path.startswith("/") or any(
                part in ("", ".", "..") or "\0" in part for part in path[1:].split("/")
            ):
                raise InvalidPathError("a component is refused", path=path)
            return path
        self._check_path(path)
        return path

    def directory(self, path: Any) -> str:
        """Give the path of a file or directory, which may be `/`."""
        return "/" if path == "/" else self.file(path)

    def needs(self, **asked: Any) -> None:
        """Refuse what is asked for and not declared; each name is that of a capability."""
        for capability, value in asked.items():
            if value and not getattr(self._declared, capability):
                raise UnsupportedMethodError(capability=capability)

    def conditions(self, conditions: Conditions | None) -> Conditions | None:
        """Give conditions, if there may be any."""
        self.needs(get_with_conditions=conditions is not None)
        return conditions

    def read(self, options: ReadOptions) -> ReadOptions:
        """Give which bytes to read, if the driver can."""
        asked = options.offset or options.length is not None or options.suffix is not None
        self.needs(get_range=asked)
        self.conditions(options.conditions)
        return options

    def put(self, options: PutOptions) -> PutOptions:
        """Give how to write, if the driver can."""
        self.needs(
            put_if_absent=options.if_absent,
            put_if_match=options.if_match is not None,
            put_with_metadata=options.content_type is not None or options.metadata,
        )
        return options

    def list(self, options: ListOptions) -> ListOptions:
        """Give what to list, if the driver can."""
        self.needs(walk_with_start_after=options.start_after is not None)
        return options
