"""Parameters of the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)


def _octal(value: object) -> object:
    """Read text such as `0640` or `0o640` as the octal number that it is in every other tool."""
    if not isinstance(value, str):
        return value
    try:
        return int(value, 8)
    except ValueError:
        raise ValueError("not an octal number, such as 0o640") from None


def _meant(mode: int) -> int:
    """Refuse what becomes of `644` and its like without a `0`: 0o1204, of no use to anybody."""
    if mode > 0o777 and mode & 0o600 != 0o600:
        raise ValueError(
            f"{mode} is 0o{mode:o}, which its owner could not both read and write; "
            "a mode is written in octal, such as 0o640"
        )
    return mode


def _shown(mode: int) -> str:
    return f"0o{mode:o}"


def _named(value: object) -> object:
    """Refuse what an unset variable leaves: the current directory would be written and emptied."""
    if value == "":
        raise ValueError("it is empty; write '.' for the current directory")
    return value


def _without_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path holds no NUL")
    return path


Mode = Annotated[
    int,
    BeforeValidator(_octal, json_schema_input_type=int | str),
    Field(ge=0, le=0o7777, json_schema_extra={"format": "octal"}),
    AfterValidator(_meant),
    PlainSerializer(_shown),
]


class FilesystemConfig(BaseModel):
    """Where the objects are, and how they are written.

    Attributes:
        root_directory: Directory that holds the objects; `rootdirectory` is accepted as well.
        create: Make the root directory if it is missing, when the driver is opened.
        max_threads: System calls at once; `maxthreads` is accepted as well.
        file_mode: Permissions of new files, less the process's umask: `0o640`, or as YAML has
            octal numbers, `0640`.
        directory_mode: Permissions of new directories, less the process's umask.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    root_directory: Annotated[Path, BeforeValidator(_named), AfterValidator(_without_nul)] = Field(
        validation_alias=AliasChoices("root_directory", "rootdirectory")
    )
    create: bool = True
    max_threads: int = Field(
        default=100, ge=1, validation_alias=AliasChoices("max_threads", "maxthreads")
    )
    file_mode: Mode = 0o666
    directory_mode: Mode = 0o777
