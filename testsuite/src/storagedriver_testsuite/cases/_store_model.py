"""A store as a dictionary: what the case of the model compares with."""

from __future__ import annotations

from storagedriver_core import (
    Capabilities,
    ConflictError,
    PathNotFoundError,
    StorageDriverError,
    child_prefix,
)

Errors = tuple[type[StorageDriverError], ...]


class StoreModel:
    """What a correct storage holds, and what it answers.

    Attributes:
        files: Bytes by path.
    """

    def __init__(self, declared: Capabilities) -> None:
        self.files: dict[str, bytes] = {}
        self._shares_names = declared.file_and_directory_share_name

    def is_directory(self, path: str) -> bool:
        """Tell whether anything lies below."""
        return path == "/" or any(each.startswith(child_prefix(path)) for each in self.files)

    def below(self, path: str) -> list[str]:
        """Give the files of a tree in order."""
        return sorted(each for each in self.files if each.startswith(child_prefix(path)))

    def children(self, path: str) -> list[str]:
        """Give the entries of a directory in order, directories with a slash."""
        prefix = child_prefix(path)
        parts = (each.removeprefix(prefix).partition("/") for each in self.below(path))
        return sorted({prefix + name + slash for name, slash, _ in parts})

    def errors_of_get(self, path: str) -> Errors:
        """Give what reading must raise."""
        return () if path in self.files else (PathNotFoundError,)

    def errors_of_put(self, path: str) -> Errors:
        """Give what storing at `path` must raise."""
        if self._shares_names or not (self.is_directory(path) or self._lies_under_a_file(path)):
            return ()
        return (ConflictError,)

    def errors_of_move(self, source: str, target: str) -> Errors:
        """Give one of what a move or copy must raise."""
        errors: Errors = self.errors_of_get(source)
        if source != target and (
            self.errors_of_put(target) or (self.is_directory(target) and target not in self.files)
        ):
            errors += (ConflictError,)
        return errors

    def delete(self, path: str) -> None:
        """Forget a file and what lies below it."""
        for each in [path, *self.below(path)]:
            self.files.pop(each, None)

    def _lies_under_a_file(self, path: str) -> bool:
        return any(path.startswith(child_prefix(each)) for each in self.files)
