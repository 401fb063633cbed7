"""Health checks: what they look at, when they count, and what they do to requests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from storagedriver_registry.app import RegistryApp
from storagedriver_registry.health import Health
from storagedriver_registry.health.checks import storage_check
from storagedriver_registry.health.status import Status

from registry.tests.application import Application, run
from registry.tests.authentication import living
from registry.tests.client import error_codes
from registry.tests.processes import free_port
from registry.tests.receivers import answering
from registry.tests.serving import fails_to_serve, served
from storagedriver_core import UnavailableError

INTERVAL = "20ms"


async def until_true(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        # What is looked at is told to nobody.
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until(app: RegistryApp, *failing: str) -> None:
    """Wait until these checks fail, and no others."""
    health = app.health
    assert health is not None
    await until_true(lambda: set(health.failures()) == set(failing))


def check(
    health: Mapping[str, Any], test: Callable[[Application, RegistryApp], Awaitable[None]]
) -> None:
    """Run a test with an application of such checks, which is up."""

    async def main(application: Application) -> None:
        assert isinstance(application.app, RegistryApp)
        async with living(application.app):
            await test(application, application.app)

    run(main, sections={"health": health})


async def assert_refused(application: Application) -> None:
    response = await application.http.get("/v2/")
    assert response.status_code == 503
    assert error_codes(response) == ["UNAVAILABLE"]
    (error,) = response.json()["errors"]
    assert error["detail"] == "health check failed: please see /debug/health"


def test_storage_that_fails_makes_every_request_503_until_it_is_well() -> None:
    async def test(application: Application, app: RegistryApp) -> None:
        name = f"storagedriver_{application.storage.driver_name}"
        await until(app)
        assert (await application.http.get("/v2/")).status_code == 200
        application.driver.fail("check", UnavailableError("it is down"))
        await until(app, name)
        assert app.health is not None
        assert app.health.failures()[name].endswith("it is down")
        await assert_refused(application)
        application.driver.heal()
        await until(app)
        assert (await application.http.get("/v2/")).status_code == 200

    check({"storagedriver": {"enabled": True, "interval": INTERVAL}}, test)


def test_check_of_the_storage_is_one_cheap_call() -> None:
    async def test(application: Application, app: RegistryApp) -> None:
        await until_true(lambda: len(application.driver.calls) > 2)
        assert set(application.driver.calls) == {("check", "")}

    check({"storagedriver": {"enabled": True, "interval": INTERVAL}}, test)


def test_file_takes_the_registry_out_of_service(tmp_path: Path) -> None:
    file = tmp_path / "down"

    async def test(application: Application, app: RegistryApp) -> None:
        await until(app)
        file.touch()
        await until(app, str(file))
        assert app.health is not None
        assert app.health.failures() == {str(file): "file exists"}
        await assert_refused(application)
        file.unlink()
        await until(app)

    check({"file": [{"file": str(file), "interval": INTERVAL}]}, test)


def test_url_has_to_answer_head_with_the_status() -> None:
    with answering() as server:

        async def test(application: Application, app: RegistryApp) -> None:
            await until(app, server.url)
            assert app.health is not None
            told = app.health.failures()[server.url]
            assert told == f"{server.url}: downstream service returned unexpected status: 200"
            server.status = 204
            await until(app)

        one = {"uri": server.url, "interval": INTERVAL, "statuscode": 204, "timeout": "5s"}
        check({"http": [{**one, "headers": {"Authorization": ["Bearer x"]}}]}, test)
        assert {method for method, _ in server.requests} == {"HEAD"}
        assert all(headers["authorization"] == "Bearer x" for _, headers in server.requests)


def test_url_that_nobody_answers_at_fails() -> None:
    url = f"http://127.0.0.1:{free_port()}/"

    async def test(application: Application, app: RegistryApp) -> None:
        await until(app, url)

    check({"http": [{"uri": url, "interval": INTERVAL}]}, test)


def test_address_has_to_take_connections() -> None:
    with answering() as server:
        there, gone = f"127.0.0.1:{server.server_port}", f"127.0.0.1:{free_port()}"

        async def test(application: Application, app: RegistryApp) -> None:
            await until(app, gone)
            assert app.health is not None
            assert app.health.failures()[gone].startswith(f"{gone}: connection failed: ")

        check({"tcp": [{"addr": addr, "interval": INTERVAL} for addr in (there, gone)]}, test)


@pytest.mark.parametrize("threshold", [0, 1, 3])
def test_threshold_counts_failures_one_after_the_other(threshold: int) -> None:
    status = Status(threshold)
    for _ in range(2):
        for _ in range(max(0, threshold - 1)):
            status.update("bad")
            assert status.failure == ""
        status.update("")
    for _ in range(max(1, threshold)):
        assert status.failure == ""
        status.update("bad")
    assert status.failure == "bad"
    status.update("worse")
    assert status.failure == "worse"
    status.update("")
    assert status.failure == ""


def test_check_that_hangs_fails() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def test(application: Application) -> None:
        application.driver.around = lambda *_: hang()  # type: ignore[assignment,method-assign]
        health = Health()
        health.add("slow", storage_check(application.storage, 0.01), 0.05, 1)
        await health.open()
        await until_true(lambda: bool(health.failures()))
        await health.aclose()
        assert health.failures() == {"slow": "no answer within 0.01 seconds"}

    run(test)


def test_without_checks_and_without_a_debug_server_there_is_nothing() -> None:
    async def test(application: Application) -> None:
        assert isinstance(application.app, RegistryApp)
        assert application.app.health is None

    run(test)
    run(test, sections={"health": {"storagedriver": {"enabled": False}}})


@pytest.mark.parametrize("workers", [1, 2])
def test_debug_server_shows_health_and_switches_it(tmp_path: Path, workers: int) -> None:
    port = free_port()
    debug = f"http://127.0.0.1:{port}/debug/health"
    http = {"debug": {"addr": f"127.0.0.1:{port}"}}
    with served(tmp_path, workers, http=http) as server:
        response = httpx.get(debug)
        assert (response.status_code, response.json()) == (200, {})
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        # As checks of URLs ask, this registry's among them.
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"HEAD /debug/health HTTP/1.0\r\n\r\n")
            status, _, rest = connection.makefile("rb").read().partition(b"\r\n")
        assert status == b"HTTP/1.0 200 OK"
        # A client would hide the body that does not belong there.
        assert rest.endswith(b"\r\ncontent-length: 2\r\n\r\n")
        assert httpx.post(debug).status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 404
        assert httpx.get(f"{debug}/down").status_code == 404
        # A site that somebody looks at makes the browser ask.
        from_a_site = {"origin": "https://elsewhere.example"}
        assert httpx.post(f"{debug}/down", headers=from_a_site).status_code == 403
        assert httpx.get(debug).status_code == 200

        assert httpx.post(f"{debug}/down").status_code == 200
        # Whichever worker is asked.
        for _ in range(6):
            assert httpx.get(f"{server.url}/v2/").status_code == 503
            response = httpx.get(debug)
            assert response.status_code == 503
            assert response.json() == {"manual_http_status": "Manual Check"}
        assert httpx.post(f"{debug}/up").status_code == 200
        for _ in range(6):
            assert httpx.get(f"{server.url}/v2/").status_code == 200
        assert server.stop() == 0


def test_debug_address_that_is_in_use_is_told(tmp_path: Path) -> None:
    with answering() as other:
        addr = f"127.0.0.1:{other.server_port}"
        assert addr in fails_to_serve(tmp_path, http={"debug": {"addr": addr}})


def test_health_ends_with_the_application(tmp_path: Path) -> None:
    async def test(application: Application, app: RegistryApp) -> None:
        assert app.health is not None
        await app.health.aclose()
        before = len(application.driver.calls)
        await asyncio.sleep(0.1)
        assert len(application.driver.calls) == before

    check({"storagedriver": {"enabled": True, "interval": INTERVAL}}, test)
