"""Each metric of `docs/metrics.md` counts what is said there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry.tests.application import Application, run
from registry.tests.client import Repository, SlowRequest, sha256
from registry.tests.processes import free_port
from registry.tests.serving import Served, eventually, served

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
DATA = b"x" * 3000

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def http_with_metrics(port: int, **prometheus: Any) -> dict[str, Any]:
    addr = f"127.0.0.1:{port}"
    return {"debug": {"addr": addr, "prometheus": {"enabled": True, **prometheus}}}


class Measured:
    """A registry whose metrics are read."""

    def __init__(self, server: Served, port: int) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{port}/metrics"

    def text(self) -> str:
        response = httpx.get(self.url)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        return response.text

    def samples(self) -> Samples:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float:
        return self.samples().get((name, frozenset(labels.items())), 0.0)

    def until(self, wanted: float, name: str, **labels: str) -> None:
        """Wait for a value: a request is counted when its client has the answer already."""
        eventually(lambda: self.get(name, **labels), lambda found: found == wanted)


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def measured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Measured]:
    port = free_port()
    folder = tmp_path_factory.mktemp("metrics")
    data = {"filesystem": {"rootdirectory": str(folder / "data")}}
    storage = {**data, "cache": {"blobdescriptor": "inmemory"}}
    with served(folder, request.param, http=http_with_metrics(port), storage=storage) as server:
        yield Measured(server, port)


def each_time(server: Served, name: str) -> Repository:
    """Give a repository; a connection for it, so that any worker may get it."""
    return Repository(httpx.Client(base_url=server.url), name)


def test_requests_are_counted_by_handler_method_and_status(measured: Measured) -> None:
    counted = {"handler": "manifest", "code": "404", "method": "get"}
    before = measured.get("registry_http_requests_total", **counted)
    for _ in range(5):
        with each_time(measured.server, "a").http as http:
            assert http.get("/v2/a/manifests/none").status_code == 404
    measured.until(before + 5, "registry_http_requests_total", **counted)


@pytest.mark.parametrize(
    ("method", "path", "handler"),
    [
        ("GET", "/v2/", "base"),
        ("GET", "/v2/_catalog", "catalog"),
        ("GET", "/v2/h/tags/list", "tags"),
        ("HEAD", f"/v2/h/blobs/{sha256(b'none')}", "blob"),
        ("GET", f"/v2/h/referrers/{sha256(b'none')}", "referrers"),
        ("POST", "/v2/h/blobs/uploads/", "blob_upload"),
        ("GET", "/v2/h/blobs/uploads/00000000-0000-0000-0000-000000000000", "blob_upload_chunk"),
        ("GET", "/v2/_openapi.json", "openapi"),
        ("GET", "/nothing", "none"),
    ],
)
def test_handlers_have_distributions_names(
    measured: Measured, method: str, path: str, handler: str
) -> None:
    before = measured.samples()
    status = httpx.request(method, measured.server.url + path).status_code
    labels = {"handler": handler, "code": str(status), "method": method.lower()}
    key = ("registry_http_requests_total", frozenset(labels.items()))
    measured.until(before.get(key, 0.0) + 1, "registry_http_requests_total", **labels)


def test_method_that_nobody_knows_is_no_label_of_its_own(measured: Measured) -> None:
    assert httpx.request("PROPFIND", f"{measured.server.url}/v2/").status_code == 405
    labels = {"handler": "base", "code": "405", "method": "unknown"}
    measured.until(1, "registry_http_requests_total", **labels)


def test_durations_and_sizes_are_counted(measured: Measured) -> None:
    names = ("request_size_bytes", "response_size_bytes")
    with each_time(measured.server, "sizes").http as http:
        repository = Repository(http, "sizes")
        location = repository.begin()
        labels = {"handler": "blob_upload_chunk"}
        before = measured.get("registry_http_request_size_bytes_sum", **labels)
        assert repository.patch(location, iter([DATA, DATA])).status_code == 202
        measured.until(before + 2 * len(DATA), "registry_http_request_size_bytes_sum", **labels)

        digest = repository.push_blob(DATA)
        before = measured.get("registry_http_response_size_bytes_sum", handler="blob")
        assert repository.blob(digest).content == DATA
        measured.until(before + len(DATA), "registry_http_response_size_bytes_sum", handler="blob")
    assert measured.get(
        "registry_http_request_duration_seconds_count", handler="blob", method="get"
    )
    for name in names:
        assert measured.get(f"registry_http_{name}_count", handler="blob") >= 1


def test_requests_in_flight_are_counted_while_they_are(measured: Measured) -> None:
    labels = {"handler": "blob_upload_chunk"}
    with each_time(measured.server, "flight").http as http:
        location = Repository(http, "flight").begin()
        with SlowRequest("PATCH", location, content_length=None) as request:
            assert measured.get("registry_http_in_flight_requests", **labels) == 1
            request.send(b"x")
            request.go_away("close")
        eventually(
            lambda: measured.get("registry_http_in_flight_requests", **labels),
            lambda found: found == 0,
        )


def test_storage_actions_are_timed_and_their_bytes_and_errors_counted(measured: Measured) -> None:
    def of(action: str) -> dict[str, str]:
        return {"driver": "filesystem", "action": action}

    before = measured.samples()
    with each_time(measured.server, "actions").http as http:
        repository = Repository(http, "actions")
        digest = sha256(DATA + b"actions")
        url = repository.url(f"blobs/uploads/?digest={digest}")
        assert http.post(url, content=DATA + b"actions").status_code == 201
        assert http.get(repository.url("manifests/none")).status_code == 404
        assert http.head(repository.url(f"blobs/{digest}")).status_code == 200
    after = measured.samples()

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert grown("registry_storage_action_seconds_count", **of("PutContent")) >= 1
    assert grown("registry_storage_action_seconds_sum", **of("PutContent")) > 0
    moved = grown("storagedriver_registry_storage_bytes_total", **of("PutContent"))
    assert moved >= len(DATA)
    # The look at the link; the size is known to the worker that has taken the blob.
    assert grown("registry_storage_action_seconds_count", **of("Stat")) >= 1
    errors = of("GetContent") | {"error": "PathNotFoundError"}
    assert grown("storagedriver_registry_storage_errors_total", **errors) >= 1


def test_cache_is_counted(measured: Measured) -> None:
    def counted() -> dict[str, float]:
        kinds = ("Request", "Hit", "Miss")
        return {kind: measured.get("registry_storage_cache_total", type=kind) for kind in kinds}

    with each_time(measured.server, "cache").http as http:
        repository = Repository(http, "cache")
        digest = repository.push_blob(DATA + b"cache")
        before = counted()
        for _ in range(3):
            # One connection, and so one worker: what it has looked up, it remembers.
            assert http.head(repository.url(f"blobs/{digest}")).status_code == 200
        after = counted()
    grown = {kind: after[kind] - before[kind] for kind in after}
    assert grown["Request"] == grown["Hit"] + grown["Miss"] == 3
    assert grown["Hit"] >= 2


def test_health_and_version_are_told(measured: Measured) -> None:
    assert measured.get("storagedriver_registry_info", version="0.1.0") == 1
    debug = measured.url.replace("/metrics", "/debug/health")
    # Whichever worker answers, and whatever another has said before.
    for switch, failing in (("up", 0), ("down", 1), ("up", 0)):
        httpx.post(f"{debug}/{switch}")
        for _ in range(6):
            assert measured.get("storagedriver_registry_health_failing") == failing


def test_process_is_measured_where_there_is_one(measured: Measured) -> None:
    is_alone = len(measured.server.workers()) == 0
    assert ("process_resident_memory_bytes" in measured.text()) == is_alone


def test_every_metric_is_in_the_list_and_no_other(measured: Measured) -> None:
    """Families without a sample are there in one process alone, so that is where it is asked."""
    if measured.server.workers():
        return
    families = {family.name for family in text_string_to_metric_families(measured.text())}
    ours = {name for name in families if "registry_" in name}
    listed = set(re.findall(r"^\| `(\w+)", PAGE.read_text(), re.MULTILINE))
    # A counter's family has no suffix; distribution has a gauge that ends like one.
    assert {name.removesuffix("_total") for name in ours} == {
        name.removesuffix("_total") for name in listed
    }


def test_worker_that_was_killed_counts_no_more_in_flight_but_what_it_has_done(
    tmp_path: Path,
) -> None:
    port = free_port()
    with served(tmp_path, 2, http=http_with_metrics(port)) as server:
        measured = Measured(server, port)
        with httpx.Client(base_url=server.url) as http:
            location = Repository(http, "killed").begin()
        labels = {"handler": "blob_upload_chunk"}
        with SlowRequest("PATCH", location, content_length=None):
            assert measured.get("registry_http_in_flight_requests", **labels) == 1
            begun = {"handler": "blob_upload", "code": "202", "method": "post"}
            measured.until(1, "registry_http_requests_total", **begun)
            for worker in server.workers():
                os.kill(worker, signal.SIGKILL)
            eventually(lambda: server.log.count("was killed by SIGKILL") == 2)
            eventually(lambda: len(server.workers()) == 2)
        eventually(
            lambda: measured.get("registry_http_in_flight_requests", **labels),
            lambda found: found == 0,
        )
        assert measured.get("registry_http_requests_total", **begun) == 1


def test_path_of_the_metrics_can_be_chosen(tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path, http=http_with_metrics(port, path="/mine")):
        assert "registry_http" in httpx.get(f"http://127.0.0.1:{port}/mine").text
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 404


def test_what_is_not_asked_for_is_not_imported(tmp_path: Path) -> None:
    """It would cost each worker memory."""
    code = (
        "import sys, storagedriver_registry.cli, storagedriver_registry.serving as serving\n"
        "from storagedriver_registry import create_app\n"
        f"create_app({{'storage': {{'filesystem': {{'rootdirectory': {str(tmp_path)!r}}}}}}})\n"
        "names = ['health', 'notifications', 'doctor.others', 'serving.debug', 'tracing.spans']\n"
        "names += ['proxy.proxy', 'client.registry']\n"
        "names = [f'storagedriver_registry.{name}' for name in names]\n"
        "names += ['prometheus_client', 'sqlite3', 'aiohttp', 'urllib.request', 'http.server']\n"
        "print([name for name in names if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_nothing_is_measured_unless_it_is_asked_for() -> None:
    async def test(application: Application) -> None:
        app: Any = application.app
        assert app.meters is None
        assert app._http == app._answer

    run(test)
    run(test, sections={"http": {"debug": {"prometheus": {"enabled": True}}}})
    run(test, sections={"http": {"debug": {"addr": "127.0.0.1:0"}}})


@pytest.mark.parametrize("workers", [1, 2])
def test_calls_of_the_driver_are_shown_where_the_middleware_counts_them(
    tmp_path: Path, workers: int
) -> None:
    port = free_port()
    storage = {
        "filesystem": {"rootdirectory": str(tmp_path / "data")},
        "middleware": [{"metrics": {"storage": "disk"}}],
    }
    with served(tmp_path, workers, http=http_with_metrics(port), storage=storage) as server:
        measured = Measured(server, port)
        for name in ("a", "b"):
            with each_time(server, name).http as http:
                pushed = http.post(
                    f"/v2/{name}/blobs/uploads/", params={"digest": sha256(DATA)}, content=DATA
                )
                assert pushed.status_code == 201
        labels = {"storage": "disk", "operation": "put_content"}
        assert measured.get("storagedriver_call_seconds_count", **labels) >= 2
        assert measured.get("storagedriver_call_bytes_total", **labels) >= len(DATA)
        # Beside those of the operations, which are counted all the same.
        of_operations = {"driver": "filesystem", "action": "PutContent"}
        assert measured.get("registry_storage_action_seconds_count", **of_operations) >= 2
