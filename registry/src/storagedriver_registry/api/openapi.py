"""The API's description in OpenAPI's form, from the table. Source: OpenAPI 3.1.0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from storagedriver_registry.api.descriptors import Answer, Body, Failure, Field, Operation, Route
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response, json_response
from storagedriver_registry.api.routes import COMMON_FAILURES, ROUTES
from storagedriver_registry.api.services import Services

_SCHEMAS = "#/components/schemas"
_ERROR = {
    "type": "object",
    "required": ["code", "message", "detail"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}


async def get(services: Services, request: Request) -> Response:
    """Send the description of the API as it is mounted here."""
    return json_response({**_document(), "servers": [{"url": request.base or "/"}]})


@cache
def _document() -> Mapping[str, Any]:
    """Give the description without the place where the registry is mounted."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "OCI and Docker registry",
            "description": "The OCI distribution specification, and what Docker's has beside it.",
            "version": version("storagedriver-registry"),
        },
        "paths": {route.template: _path(route) for route in ROUTES},
        "components": {
            "schemas": {"Error": _ERROR, **_models()},
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        # Which of them, if any, is the configuration's.
        "security": [{}, {"basic": []}, {"bearer": []}],
    }


def _path(route: Route) -> dict[str, Any]:
    path: dict[str, Any] = {"summary": route.description}
    if route.parameters:
        path["parameters"] = [_parameter("path", each) for each in route.parameters]
    for operation in route.operations:
        for method in operation.methods:
            path[method.lower()] = _operation(route, operation, method)
    return path


def _operation(route: Route, operation: Operation, method: str) -> dict[str, Any]:
    is_second = method != operation.methods[0]
    parameters = [
        *(_parameter("query", each) for each in operation.query),
        *(_parameter("header", each) for each in operation.headers),
    ]
    described: dict[str, Any] = {
        "operationId": f"{operation.id}_{method.lower()}" if is_second else operation.id,
        "summary": operation.summary,
        "tags": [route.name],
        "responses": _responses(route, operation, has_content=method != "HEAD"),
    }
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        body = operation.body
        described["requestBody"] = {"description": body.description, "content": _content(body)}
    return described


def _parameter(place: str, parameter: Field) -> dict[str, Any]:
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": {"type": "array", "items": schema} if parameter.repeated else schema,
    }


def _responses(route: Route, operation: Operation, *, has_content: bool) -> dict[str, Any]:
    responses = {
        str(answer.status): _response([answer], answer.body if has_content else None)
        for answer in operation.answers
    }
    failures: dict[int, list[Failure]] = {}
    for failure in (*operation.failures, *route.failures, *COMMON_FAILURES):
        failures.setdefault(failure.status, []).append(failure)
    for status, group in sorted(failures.items()):
        body = _error_body(failure.code.value for failure in group) if has_content else None
        responses[str(status)] = _response(group, body)
    return responses


def _response(group: list[Answer] | list[Failure], body: Body | None) -> dict[str, Any]:
    """Describe what is answered with one status, in each of some cases."""
    described: dict[str, Any] = {"description": " ".join(each.description for each in group)}
    headers = {
        header.name: {
            "description": header.description,
            # It is in each of the cases, or may be missing.
            "required": header.required and all(header in each.headers for each in group),
            "schema": dict(header.schema),
        }
        for each in group
        for header in each.headers
    }
    if headers:
        described["headers"] = headers
    if body is not None:
        described["content"] = _content(body)
    return described


def _error_body(codes: Iterable[str]) -> Body:
    known = {"properties": {"code": {"enum": sorted(set(codes))}}}
    error = {"allOf": [{"$ref": f"{_SCHEMAS}/Error"}, known]}
    errors = {"type": "array", "minItems": 1, "items": error}
    schema = {"type": "object", "required": ["errors"], "properties": {"errors": errors}}
    return Body("", {"application/json": schema})


def _content(body: Body) -> dict[str, Any]:
    return {media_type: _media_type(schema) for media_type, schema in body.contents.items()}


def _media_type(schema: Mapping[str, Any] | type[BaseModel] | None) -> dict[str, Any]:
    if schema is None:
        return {}
    if isinstance(schema, type):
        return {"schema": {"$ref": f"{_SCHEMAS}/{schema.__name__}"}}
    return {"schema": dict(schema)}


def _models() -> Mapping[str, Any]:
    """Give the schemas of all models that bodies are read with."""
    models = {
        schema
        for route in ROUTES
        for operation in route.operations
        if operation.body is not None
        for schema in operation.body.contents.values()
        if isinstance(schema, type)
    }
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=f"{_SCHEMAS}/{{model}}"
    )
    definitions: Mapping[str, Any] = schemas["$defs"]
    return definitions
