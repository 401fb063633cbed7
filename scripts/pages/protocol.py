"""`docs/protocol.md`, from the table of the registry's API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from storagedriver_registry.api.codes import CATALOGUE
from storagedriver_registry.api.descriptors import Answer, Body, Failure, Field, Operation, Route
from storagedriver_registry.api.routes import (
    COMMON_FAILURES,
    NO_SUCH_METHOD,
    NO_SUCH_RESOURCE,
    ROUTES,
)

from pages.text import code, note, table

_HEAD = f"""\
{note("the registry's api/routes.py and api/codes.py")}

# The protocol

Every resource of the registry, what can be done with it, and what is answered. It is the OCI
distribution specification, with what docker/distribution has beside it. Paths are those below
`http.prefix`. The same table is served in OpenAPI's form at `/v2/_openapi.json`.

What the specification asks, and which test sees to it, is in [The specification's
requirements](requirements.md).
"""

_EVERYWHERE = """\
## What holds everywhere

Each answer has the headers `Docker-Distribution-Api-Version: registry/2.0` and `X-Request-Id`, and
those of `http.headers`. URLs in answers are absolute: their origin is `http.host`, or what the
header `Forwarded` says, or `X-Forwarded-Proto` and `X-Forwarded-Host`, or `Host`; with
`http.relativeurls`, and without `http.host`, they are paths. `HEAD` is answered as `GET` is,
without content, and `OPTIONS` with 200 and the methods in `Allow`, to everybody. Parameters and
headers that are not named are ignored, and of a parameter that is given twice the last counts. An
answer that leaves a body unread has `Connection: close`.

A failure has a body of JSON, with one error at least:

```json
{"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": "sha256:…"}]}
```

`message` is for humans and may change; `detail` is anything, or null. Any request may be answered:
"""


def page() -> str:
    """Give the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield from table(
        ("resource", "path", "methods"),
        [
            (
                f"[{_title(route)}](#{_anchor(route)})",
                code(route.template),
                ", ".join(route.methods),
            )
            for route in ROUTES
        ],
    )
    yield _EVERYWHERE
    yield from _failures((NO_SUCH_RESOURCE, NO_SUCH_METHOD, *COMMON_FAILURES))
    for route in ROUTES:
        yield from _route(route)
    yield "## Forms\n"
    yield "Regular expressions for all of a value, and the most characters that it has.\n"
    yield from table(("form", "", ""), sorted(_forms()))
    yield "## Errors\n"
    yield from table(
        ("code", "status", "message", "when"),
        [
            (code(each.value), str(each.status), each.message, each.description)
            for each in CATALOGUE
        ],
    )


def _route(route: Route) -> Iterator[str]:
    yield f"## {_title(route)}\n"
    yield f"`{route.template}`\n"
    yield f"{route.description}\n"
    if route.parameters:
        yield from _fields("in the path", route.parameters)
        yield "Whatever is asked of it:\n"
        yield from _failures(route.failures)
    for operation in route.operations:
        yield from _operation(operation)


def _operation(operation: Operation) -> Iterator[str]:
    yield f"### {' and '.join(operation.methods)}: `{operation.id}`\n"
    yield f"{operation.summary}\n"
    yield from _fields("in the query", operation.query)
    yield from _fields("header", operation.headers)
    if operation.body is not None:
        yield f"Body: {operation.body.description} {_types(operation.body)}.\n"
    yield from table(
        ("status", "answer", "with"),
        [
            (str(answer.status), answer.description, _contents(answer))
            for answer in operation.answers
        ],
    )
    yield from _failures(operation.failures)


def _fields(place: str, fields: Iterable[Field]) -> Iterator[str]:
    yield from table(
        (place, "", "form"),
        [(code(each.name), each.description, _form(each)) for each in fields],
    )


def _failures(failures: Iterable[Failure]) -> Iterator[str]:
    yield from table(
        ("status", "error", "when", "with"),
        [
            (str(each.status), code(each.code.value), each.description, _headers(each))
            for each in failures
        ],
    )


def _forms() -> set[tuple[str, ...]]:
    """Give the forms that have a name, each once."""
    fields = [
        field
        for route in ROUTES
        for operation in route.operations
        for field in (*route.parameters, *operation.query)
    ]
    return {
        (each["title"], code(each["pattern"][1:-1]), str(each.get("maxLength", "")))
        for each in (field.schema for field in fields)
        if "title" in each
    }


def _form(field: Field) -> str:
    schema = field.schema
    if "title" in schema:
        form = f"[{schema['title']}](#forms)"
    elif "enum" in schema:
        form = " or ".join(f"`{value}`" for value in schema["enum"])
    else:
        form = "number" if schema["type"] == "integer" else "text"
    return f"{form}; required" if field.required else form


def _contents(answer: Answer) -> str:
    body = answer.body
    parts = [_headers(answer), "" if body is None else f"{body.description} {_types(body)}"]
    return "; ".join(part for part in parts if part)


def _headers(answer: Answer | Failure) -> str:
    return ", ".join(
        f"`{each.name}`" + ("" if each.required else " (at times)") for each in answer.headers
    )


def _types(body: Body) -> str:
    named = [f"`{each}`" for each in body.contents if each != "*/*"]
    return ", ".join([*named, "any other media type"] if "*/*" in body.contents else named)


def _title(route: Route) -> str:
    return route.name.capitalize()


def _anchor(route: Route) -> str:
    return _title(route).lower()
