"""A proxy in this process, whose upstream is slow to fail."""

from __future__ import annotations

import httpx
import pytest
from storagedriver_registry.api.request import ASGIApp, Message

from registry.tests.application import Application, run
from registry.tests.client import Repository, unique_name
from registry.tests.processes import ServerProcess
from registry.tests.upstreams import relaying


async def close(app: ASGIApp) -> None:
    """Shut an application down."""
    said: list[str] = []

    async def receive() -> Message:
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        said.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert said == ["lifespan.shutdown.complete"]


@pytest.mark.parametrize(("slow_seconds", "is_asked_again"), [(-1.0, False), (3600.0, True)])
def test_upstream_that_is_slow_to_fail_is_left_alone_for_a_while(
    server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    slow_seconds: float,
    is_asked_again: bool,
) -> None:
    module = "storagedriver_registry.proxy.manifests"
    monkeypatch.setattr(f"{module}._SLOW_SECONDS", slow_seconds)
    name = unique_name("quiet")
    with httpx.Client(base_url=server.url) as client:
        digest = Repository(client, name).push_image("v1")
        Repository(client, name).push_image("v2")

    with relaying(server.url) as relay:

        async def test(application: Application) -> None:
            async def get(tag: str) -> httpx.Response:
                return await application.http.get(f"/v2/{name}/manifests/{tag}")

            assert (await get("v1")).headers["docker-content-digest"] == digest
            relay.answers["manifests/v1"] = (500, {})
            assert (await get("v1")).status_code == 200
            asked = relay.count("HEAD", "manifests/v1")
            assert (await get("v1")).headers["docker-content-digest"] == digest
            assert (relay.count("HEAD", "manifests/v1") > asked) is is_asked_again
            # What is not cached can only be asked for.
            assert (await get("v2")).status_code == 200
            await close(application.app)

        run(test, sections={"proxy": {"remoteurl": relay.url}})
