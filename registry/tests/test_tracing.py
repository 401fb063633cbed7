"""Traces: a span for each request, and below it one for each call of the storage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.tests.client import Repository, sha256
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.serving import eventually
from storagedriver_core import load_plugins

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Traced:
    """A registry whose spans are written to a file."""

    def __init__(self, server: ServerProcess, file: Path) -> None:
        self.server = server
        self._file = file

    def spans(self) -> list[dict[str, Any]]:
        """Give the spans of the test's own trace, in the order of their ends."""
        lines = self._file.read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [span for span in found if span["context"]["trace_id"] == f"0x{TRACE}"]

    def until(self, name: str) -> dict[str, Any]:
        """Wait for a span of the name, and give it."""
        eventually(lambda: [span for span in self.spans() if span["name"] == name])
        (span,) = [span for span in self.spans() if span["name"] == name]
        return span


@pytest.fixture(params=[1, 2])
def traced(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Traced]:
    server = our_server(tmp_path)
    file = tmp_path / "spans"
    file.touch()
    before = [sys.executable, "-m", "registry.tests.traced", str(file)]
    workers = ["--workers", str(request.param)]
    # The command of `our_server`, in a process that has a tracer provider.
    server._command = [*before, *server._command[1:], *workers]
    with running(server) as started:
        yield Traced(started, file)


def test_push_is_traced_from_its_requests_to_the_calls_of_the_storage(traced: Traced) -> None:
    with httpx.Client(base_url=traced.server.url, headers=PARENT) as http:
        repository = Repository(http, "a")
        digest = repository.push_blob(b"layer")
    request = traced.until("PUT upload")
    assert request["kind"] == "SpanKind.SERVER"
    assert request["parent_id"] == f"0x{CALLER}"
    attributes = request["attributes"]
    assert attributes["http.request.method"] == "PUT"
    assert attributes["http.route"] == "upload"
    assert attributes["http.response.status_code"] == 201
    assert attributes["url.path"].startswith("/v2/a/blobs/uploads/")
    below = [span for span in traced.spans() if span["parent_id"] == request["context"]["span_id"]]
    assert below
    assert {span["kind"] for span in below} == {"SpanKind.CLIENT"}
    assert {span["attributes"]["storagedriver.driver"] for span in below} == {"filesystem"}
    paths = [span["attributes"]["storagedriver.path"] for span in below]
    assert any(digest.removeprefix("sha256:") in path for path in paths)
    for span in below:
        assert request["start_time"] <= span["start_time"] <= span["end_time"]
        assert span["end_time"] <= request["end_time"]
    # The word that vouches for an upload session.
    assert "_state=" not in json.dumps(traced.spans())


def test_what_is_not_there_is_no_error(traced: Traced) -> None:
    url = f"{traced.server.url}/v2/a/blobs/{sha256(b'none')}"
    assert httpx.get(url, headers=PARENT).status_code == 404
    request = traced.until("GET blob")
    assert request["attributes"]["http.response.status_code"] == 404
    assert request["status"]["status_code"] == "UNSET"
    statuses = {span["status"]["status_code"] for span in traced.spans()}
    assert statuses == {"UNSET"}


def test_request_of_no_resource_has_a_span(traced: Traced) -> None:
    assert httpx.get(f"{traced.server.url}/nothing", headers=PARENT).status_code == 404
    assert traced.until("GET")["attributes"]["url.path"] == "/nothing"


def test_without_a_provider_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, storagedriver_registry as r\n"
        "from storagedriver_registry.app import RegistryApp\n"
        "app = r.create_app({'storage': {'inmemory': {}}})\n"
        "assert app._http == app._answer\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    assert "inmemory" in load_plugins().drivers
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
