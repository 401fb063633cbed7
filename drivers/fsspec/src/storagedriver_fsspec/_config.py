"""Parameters of the driver."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import CoreSchema, core_schema


class Hidden(SecretStr):
    """A value of any type that shows in no repr, no message and no `config show`.

    Nobody but the filesystem knows which of its options are secrets, so all are taken for some.
    """

    def __init__(self, value: Any) -> None:
        super().__init__(value)

    def __repr__(self) -> str:
        return "Hidden('**********')"

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            json_schema_input_schema=core_schema.any_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: "**********", when_used="json"
            ),
        )


def _without_nul(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path holds no NUL")
    return path


class FsspecConfig(BaseModel):
    """Which filesystem, and where in it the objects are.

    Attributes:
        protocol: fsspec's name of the filesystem, such as `sftp`.
        options: Arguments of the filesystem's class, such as host and password. All are hidden.
        root_directory: Directory that holds the objects; `rootdirectory` is accepted as well. For
            a store of buckets it begins with the bucket.
        create: Make the root directory if it is missing, when the driver is opened.
        max_threads: Calls of a blocking filesystem at once; `maxthreads` is accepted as well. For
            some protocols fewer are made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    protocol: str = Field(min_length=1)
    options: dict[str, Hidden] = Field(default_factory=dict)
    root_directory: Annotated[str, AfterValidator(_without_nul)] = Field(
        min_length=1, validation_alias=AliasChoices("root_directory", "rootdirectory")
    )
    create: bool = True
    max_threads: int = Field(
        default=8, ge=1, validation_alias=AliasChoices("max_threads", "maxthreads")
    )

    def revealed(self) -> dict[str, Any]:
        """Give the options as the filesystem takes them."""
        return {name: value.get_secret_value() for name, value in self.options.items()}
