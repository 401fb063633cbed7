"""The registry over a driver in another process: what that can do is known when it is open."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from storagedriver_registry import create_app
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.doctor.others import examine_others

from registry.tests.client import OCI_MANIFEST, sha256

BASE = "http://registry"
PIECE = os.urandom(300_000)
DATA = PIECE * 2
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": {"mediaType": "x/y", "digest": sha256(b"{}"), "size": 2},
    "layers": [{"mediaType": "x/y", "digest": sha256(DATA), "size": len(DATA)}],
}

WHOLE: Mapping[str, bool] = {}
NARROW: Mapping[str, bool] = {
    **{"put_if_absent": False, "put_if_match": False, "move_if_absent": False},
    **{"list_uploads": False, "late_target": False, "walk_with_start_after": False},
}
"""What many a program of somebody else's cannot do."""


def over_remote(folder: Path, capabilities: Mapping[str, bool]) -> Mapping[str, Any]:
    """Give a configuration that does not say what the driver can do."""
    served = {
        "driver": "filesystem",
        "parameters": {"root_directory": str(folder / "data")},
        "capabilities": dict(capabilities),
    }
    remote = {"program": "python", "parameters": served, "start_seconds": 60}
    return {"version": 0.1, "storage": {"remote": remote, "delete": {"enabled": True}}}


def with_digest(location: str, data: bytes) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={sha256(data)}"


@pytest.fixture(autouse=True)
def program_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)


@pytest.mark.parametrize("capabilities", [WHOLE, NARROW], ids=["whole", "narrow"])
def test_image_is_pushed_and_pulled(capabilities: Mapping[str, bool], tmp_path: Path) -> None:
    async def push(http: httpx.AsyncClient) -> None:
        begun = await http.post("/v2/a/b/blobs/uploads/")
        place = begun.headers["location"]
        for piece in (PIECE, PIECE):
            patched = await http.patch(place, content=piece)
            assert patched.status_code == 202, patched.text
            place = patched.headers["location"]
        done = [await http.put(with_digest(place, DATA))]
        begun = await http.post("/v2/a/b/blobs/uploads/")
        done.append(await http.put(with_digest(begun.headers["location"], b"{}"), content=b"{}"))
        # Twice: the second finds what the first has stored.
        for _ in range(2):
            done.append(await http.put("/v2/a/b/manifests/v1", json=MANIFEST))
        assert [(one.status_code, one.text) for one in done] == [(201, "")] * 4

    async def pull(http: httpx.AsyncClient) -> None:
        assert (await http.get("/v2/a/b/manifests/v1")).json() == MANIFEST
        assert (await http.get(f"/v2/a/b/blobs/{sha256(DATA)}")).content == DATA
        assert (await http.get("/v2/a/b/tags/list?n=1")).json()["tags"] == ["v1"]
        assert (await http.get("/v2/_catalog?n=1")).json() == {"repositories": ["a/b"]}

    async def cancel_and_delete(http: httpx.AsyncClient) -> None:
        begun = await http.post("/v2/a/b/blobs/uploads/")
        sent = await http.patch(begun.headers["location"], content=PIECE)
        assert (await http.delete(sent.headers["location"])).status_code == 204
        assert (await http.delete(f"/v2/a/b/blobs/{sha256(DATA)}")).status_code == 202
        assert (await http.get(f"/v2/a/b/blobs/{sha256(DATA)}")).status_code == 404

    async def serve(*steps: Any) -> None:
        messages = asyncio.Queue[dict[str, str]]()
        said = asyncio.Queue[Any]()
        app = create_app(over_remote(tmp_path, capabilities))
        life = asyncio.ensure_future(app({"type": "lifespan"}, messages.get, said.put))
        await messages.put({"type": "lifespan.startup"})
        assert (await said.get())["type"] == "lifespan.startup.complete"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
            for step in steps:
                await step(http)
        await messages.put({"type": "lifespan.shutdown"})
        assert (await said.get())["type"] == "lifespan.shutdown.complete"
        await life

    asyncio.run(serve(push, pull))
    asyncio.run(serve(pull, cancel_and_delete))
    stored = tmp_path / "data/docker/registry/v2"
    assert (stored / "repositories/a/b/_manifests/tags/v1/current/link").is_file()


@pytest.mark.parametrize(
    ("capabilities", "told"), [(WHOLE, 0), (NARROW, 2)], ids=["whole", "narrow"]
)
def test_doctor_tells_of_what_the_program_can_do(
    capabilities: Mapping[str, bool], told: int, tmp_path: Path
) -> None:
    async def examine() -> None:
        configuration = load_configuration(over_remote(tmp_path, capabilities))
        found = examine_others(configuration, read_only=True, seconds=60)
        first, *_ = [finding async for finding in found]
        assert (first.step, first.result) == ("several nodes", "ok")
        assert len(first.help) == told

    asyncio.run(examine())
