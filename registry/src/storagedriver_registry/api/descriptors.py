"""What the table of the API is made of: descriptors of errors, routes, operations and answers.

The rows are in `codes` (errors) and `routes` (everything else). From them come the router, the URLs
in answers, the OpenAPI document and the page `docs/protocol.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]
"""A JSON Schema."""

TEXT: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One entry of the catalogue of errors.

    Attributes:
        value: The code on the wire.
        status: The HTTP status that it is sent with, unless the case at hand wants another.
        message: What it means, for humans; sent with it.
        description: When it is sent, for the documentation.
    """

    value: str
    status: int
    message: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter of a path or a query, or a header.

    Attributes:
        name: Its name; of headers as they are written in prose.
        description: What it says.
        schema: What its values look like. Narrow only if other values are refused.
        required: Whether it is always there.
        repeated: Whether it may be given more than once, with a value each time.
    """

    name: str
    description: str
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a request or an answer.

    Attributes:
        description: What it is.
        contents: By media type, what JSON it is: a schema, or the model that it is read with. None
            if it is bytes, whatever they mean. The type `*/*` stands for any other.
    """

    description: str
    contents: Mapping[str, Schema | type[BaseModel] | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer where all is well.

    Attributes:
        status: HTTP status.
        description: When it is given.
        headers: Its headers; those of every answer are not named.
        body: Its content, where it has any.
    """

    status: int
    description: str
    headers: tuple[Field, ...] = ()
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer with an error body.

    Attributes:
        code: The code in the body.
        description: When it is given.
        other_status: HTTP status, where it is not the code's.
        headers: Its headers.
    """

    code: ErrorCode
    description: str
    other_status: int | None = None
    headers: tuple[Field, ...] = ()

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.other_status or self.code.status


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method does with a resource, or GET and HEAD together.

    Attributes:
        id: Its name among all; the router finds the handler by it.
        methods: In upper case. What HEAD is answered has no content.
        summary: What it does, in a line.
        query: Parameters of the query; others are ignored.
        headers: Headers of the request that make a difference.
        body: What is sent with it, if anything is.
        answers: What it is answered.
        failures: What goes wrong, beside what can with any request.
    """

    id: str
    methods: tuple[str, ...]
    summary: str
    answers: tuple[Answer, ...]
    failures: tuple[Failure, ...] = ()
    query: tuple[Field, ...] = ()
    headers: tuple[Field, ...] = ()
    body: Body | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A kind of resource.

    Attributes:
        name: What it is called.
        template: Its path; `{…}` stands for a parameter.
        description: What it is.
        operations: What can be done with it.
        parameters: Those of the path, in order.
        failures: What goes wrong with its path, whatever is done.
    """

    name: str
    template: str
    description: str
    operations: tuple[Operation, ...]
    parameters: tuple[Field, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def methods(self) -> list[str]:
        """Every method."""
        return [method for operation in self.operations for method in operation.methods]

    def path(self, **parameters: object) -> str:
        """Give the path of one resource of this kind."""
        return self.template.format(**parameters)
