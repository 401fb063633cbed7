"""The description of the API that the registry serves."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from starlette.applications import Starlette
from starlette.routing import Mount
from storagedriver_registry import create_app
from storagedriver_registry.api.routes import OPENAPI, ROUTES
from storagedriver_registry.reference import is_name

from registry.tests.application import Application, in_memory, run
from registry.tests.client import error_codes
from storagedriver_core import Storage

PATH = "/v2/_openapi.json"


def described(sections: dict[str, object], path: str = PATH, mount: str = "") -> dict[str, Any]:
    """Give the description that a registry serves, mounted below a path."""

    async def main() -> dict[str, Any]:
        async with Storage(in_memory()) as storage:
            app: Any = create_app(sections, storage=storage)
            if mount:
                app = Starlette(routes=[Mount(mount, app)])
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
                response = await http.get(path)
                assert response.status_code == 200
                assert response.headers["content-type"] == "application/json"
                document: dict[str, Any] = response.json()
                return document

    return asyncio.run(main())


def test_every_resource_and_method_is_described() -> None:
    document = described({})
    assert document["openapi"].startswith("3.1.")
    methods = {"get", "head", "post", "put", "patch", "delete"}
    assert {
        path: sorted(name.upper() for name in item if name in methods)
        for path, item in document["paths"].items()
    } == {route.template: sorted(route.methods) for route in ROUTES}


def test_every_schema_is_one_and_every_reference_leads_to_one() -> None:
    document = described({})
    schemas: list[dict[str, Any]] = [*document["components"]["schemas"].values()]
    references: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            schemas.extend([value["schema"]] if "schema" in value else [])
            references.extend([value["$ref"]] if "$ref" in value else [])
            for each in value.values():
                gather(each)
        elif isinstance(value, list):
            for each in value:
                gather(each)

    gather(document)
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references
    assert set(references) <= known


@pytest.mark.parametrize(
    ("prefix", "mount", "server"),
    [("", "", "/"), ("/pre/", "", "/pre"), ("", "/some", "/some"), ("/pre/", "/some", "/some/pre")],
)
def test_server_is_where_the_registry_is_mounted(prefix: str, mount: str, server: str) -> None:
    sections: dict[str, object] = {"http": {"prefix": prefix}} if prefix else {}
    document = described(sections, server.rstrip("/") + PATH, mount)
    assert document["servers"] == [{"url": server}]


def test_no_repository_can_have_the_path() -> None:
    first = OPENAPI.template.removeprefix("/v2/").split("/")[0]
    assert not is_name(first)


def test_whoever_may_ask_for_the_base_may_have_the_description() -> None:
    """And nobody else; as distribution's `silly` has it, any credentials will do."""

    async def ask(one: Application) -> None:
        for path in ("/v2/", PATH):
            refused = await one.http.get(path)
            assert (refused.status_code, error_codes(refused)) == (401, ["UNAUTHORIZED"])
            # No access is asked for, which only those have who may do something.
            assert refused.json()["errors"][0]["detail"] is None
            taken = await one.http.get(path, headers={"authorization": "anything"})
            assert taken.status_code == 200

    run(ask, sections={"auth": {"silly": {"realm": "r", "service": "s"}}})
