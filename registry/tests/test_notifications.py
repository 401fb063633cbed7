"""Notifications: what events say, who is sent which, and that none is lost or out of order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.digest import parse_digest
from storagedriver_registry.notifications.endpoints import make_endpoints
from storagedriver_registry.notifications.notifier import queue_directory
from storagedriver_registry.notifications.queue import Queue
from storagedriver_registry.storage import paths

from registry.tests.application import Application, run
from registry.tests.authentication import basic, living
from registry.tests.client import (
    OCI_INDEX,
    OCI_MANIFEST,
    error_codes,
    sha256,
)
from registry.tests.processes import free_port
from registry.tests.receivers import Answering, answering
from registry.tests.serving import fails_to_serve
from storagedriver_core import ConfigurationError, ThrottledError

ROOT = Path(__file__).resolve().parents[2]
DATA = b"a layer"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def section(url: str, directory: Path | None = None, **endpoint: Any) -> dict[str, Any]:
    one = {"name": "listener", "url": url, "timeout": "60s", "backoff": "50ms", **endpoint}
    queue = {} if directory is None else {"queue": {"directory": str(directory)}}
    return {"endpoints": [one], **queue}


@pytest.fixture
def receiver() -> Iterator[Answering]:
    with answering() as server:
        yield server


def notify(
    sections: Mapping[str, Any],
    test: Callable[[Application], Awaitable[None]],
) -> None:
    """Run a test with an application that is up, in memory."""

    async def main(application: Application) -> None:
        async with living(application.app):
            await test(application)

    run(main, sections=sections)


async def arrived(receiver: Answering, count: int) -> list[Any]:
    """Wait until so many events have come, and give them."""
    async with asyncio.timeout(30):
        # The receiver is in a thread.
        while len(receiver.events()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    found = receiver.events()
    assert len(found) == count, found
    return found


def image(blob: str = sha256(DATA), **others: Any) -> bytes:
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob}
    size = {"size": len(DATA)}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config | size}
    return json.dumps({**document, "layers": [layer | size], **others}).encode()


async def push(application: Application, reference: str = "v1", name: str = "a/b") -> str:
    """Push an image of one blob; two events."""
    await application.push_blob(name, DATA, sha256(DATA))
    headers = {"content-type": OCI_MANIFEST}
    path = f"/v2/{name}/manifests/{reference}"
    response = await application.http.put(path, content=image(), headers=headers)
    assert response.status_code == 201, response.text
    digest: str = response.headers["docker-content-digest"]
    return digest


def test_push_is_told_in_distributions_envelope(receiver: Answering, tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        digest = await push(application)
        blob, manifest = await arrived(receiver, 2)
        size = len(image())
        assert manifest["action"] == "push"
        assert manifest["target"] == {
            "mediaType": OCI_MANIFEST,
            "digest": digest,
            "size": size,
            "length": size,
            "repository": "a/b",
            "url": f"http://registry/v2/a/b/manifests/{digest}",
            "tag": "v1",
        }
        assert blob["action"] == "push"
        assert blob["target"] == {
            "mediaType": "application/octet-stream",
            "digest": sha256(DATA),
            "size": len(DATA),
            "length": len(DATA),
            "repository": "a/b",
            "url": f"http://registry/v2/a/b/blobs/{sha256(DATA)}",
        }
        assert blob["id"] != manifest["id"]
        for event in (blob, manifest):
            assert TIMESTAMP.fullmatch(event["timestamp"])
            assert event["actor"] == {}
            assert set(event["source"]) == {"addr", "instanceID"}
            assert event["source"]["addr"].endswith(":5000")
            assert set(event["request"]) == {"id", "addr", "host", "method", "useragent"}
        assert manifest["request"]["method"] == "PUT"
        assert manifest["request"]["host"] == "registry"
        assert manifest["request"]["useragent"].startswith("python-httpx/")
        assert manifest["request"]["addr"].startswith("127.0.0.1:")

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)
    for method, headers in receiver.requests:
        assert method == "POST"
        assert headers["content-type"] == "application/vnd.docker.distribution.events.v1+json"


def test_request_is_named_by_its_id(receiver: Answering, tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        await push(application)
        path = "/v2/a/b/manifests/v1"
        response = await application.http.get(path, headers={"x-request-id": "mine"})
        assert response.status_code == 200
        *_, event = await arrived(receiver, 3)
        assert event["request"]["id"] == "mine"

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


def test_pulls_are_told_with_tag_size_and_method(receiver: Answering, tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        digest = await push(application)
        layer = f"/v2/a/b/blobs/{sha256(DATA)}"
        part = {"range": "bytes=1-3"}
        for method, path, headers in (
            ("GET", "/v2/a/b/manifests/v1", {}),
            ("HEAD", f"/v2/a/b/manifests/{digest}", {}),
            ("GET", layer, {}),
            ("GET", layer, part),
            ("HEAD", layer, {}),
        ):
            response = await application.http.request(method, path, headers=headers)
            assert response.status_code in (200, 206)
        events = (await arrived(receiver, 7))[2:]
        assert {event["action"] for event in events} == {"pull"}
        told = [
            (event["request"]["method"], event["target"].get("tag"), event["target"]["size"])
            for event in events
        ]
        size, of_blob = len(image()), len(DATA)
        assert told == [
            ("GET", "v1", size),
            ("HEAD", None, size),
            ("GET", None, of_blob),
            ("GET", None, of_blob),
            ("HEAD", None, of_blob),
        ]
        assert [event["target"]["mediaType"] for event in events] == [
            *[OCI_MANIFEST] * 2,
            *["application/octet-stream"] * 3,
        ]

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


def test_mounts_and_deletes_are_told(receiver: Answering, tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        digest = await push(application)
        mount = {"mount": sha256(DATA), "from": "a/b"}
        response = await application.http.post("/v2/c/blobs/uploads/", params=mount)
        assert response.status_code == 201
        for path in (
            "/v2/a/b/manifests/v1",
            f"/v2/a/b/manifests/{digest}",
            f"/v2/c/blobs/{sha256(DATA)}",
        ):
            assert (await application.http.delete(path)).status_code == 202
        mounted, tag, manifest, blob = (await arrived(receiver, 6))[2:]
        assert mounted["action"] == "mount"
        assert mounted["target"]["fromRepository"] == "a/b"
        assert mounted["target"]["repository"] == "c"
        assert mounted["target"]["size"] == len(DATA)
        assert {event["action"] for event in (tag, manifest, blob)} == {"delete"}
        assert tag["target"] == {"repository": "a/b", "tag": "v1"}
        assert manifest["target"] == {"repository": "a/b", "digest": digest}
        assert blob["target"] == {"repository": "c", "digest": sha256(DATA)}

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


def test_tags_that_go_with_a_manifest_are_told(receiver: Answering, tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        digest = await push(application, "v2")
        await push(application, "v1")
        assert (await application.http.delete(f"/v2/a/b/manifests/{digest}")).status_code == 202
        targets = [event["target"] for event in (await arrived(receiver, 7))[4:]]
        assert targets == [
            {"repository": "a/b", "digest": digest},
            {"repository": "a/b", "tag": "v1"},
            {"repository": "a/b", "tag": "v2"},
        ]

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


def test_session_of_an_upload_is_told_once_when_it_is_finished(
    receiver: Answering, tmp_path: Path
) -> None:
    async def test(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/s/blobs/uploads/")
        sent = await http.patch(begun.headers["location"], content=DATA)
        url = httpx.URL(sent.headers["location"]).copy_merge_params({"digest": sha256(DATA)})
        assert (await http.put(url)).status_code == 201
        (event,) = await arrived(receiver, 1)
        assert (event["action"], event["target"]["size"]) == ("push", len(DATA))

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


def test_what_fails_or_is_known_to_the_client_is_not_told(
    receiver: Answering, tmp_path: Path
) -> None:
    async def test(application: Application) -> None:
        http = application.http
        digest = await push(application)
        known = {"if-none-match": f'"{digest}"'}
        assert (await http.get("/v2/a/b/manifests/v1", headers=known)).status_code == 304
        assert (await http.get("/v2/a/b/manifests/none")).status_code == 404
        assert (await http.put("/v2/a/b/manifests/v2", content=b"{")).status_code == 400
        assert (await http.post("/v2/a/b/blobs/uploads/")).status_code == 202
        assert (await http.get("/v2/a/b/tags/list")).status_code == 200
        assert (await http.get("/v2/")).status_code == 200
        assert (await http.get("/v2/a/b/manifests/v1")).status_code == 200
        assert [event["action"] for event in await arrived(receiver, 3)][2:] == ["pull"]

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


def test_manifest_with_several_tags_is_an_event_for_each(
    receiver: Answering, tmp_path: Path
) -> None:
    async def test(application: Application) -> None:
        await push(application, f"{sha256(image())}?tag=x&tag=y")
        events = (await arrived(receiver, 3))[1:]
        assert [event["target"]["tag"] for event in events] == ["x", "y"]

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


@pytest.mark.parametrize("wanted", [True, False])
def test_references_are_told_if_they_are_wanted(
    receiver: Answering, tmp_path: Path, wanted: bool
) -> None:
    async def test(application: Application) -> None:
        digest = await push(application)
        child = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(image())}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}
        headers = {"content-type": OCI_INDEX}
        path = "/v2/a/b/manifests/all"
        await application.http.put(path, content=json.dumps(index).encode(), headers=headers)
        await application.http.get("/v2/a/b/manifests/v1")
        blob, manifest, of_index, pulled = await arrived(receiver, 4)
        assert "references" not in blob["target"]
        for event in (manifest, pulled):
            assert ("references" in event["target"]) == wanted
        if wanted:
            document = json.loads(image())
            parts = [document["config"], *document["layers"]]
            assert manifest["target"]["references"] == parts
            assert pulled["target"]["references"] == parts
            assert of_index["target"]["references"] == [child]

    notifications = section(receiver.url, tmp_path / "q")
    notifications["events"] = {"includereferences": wanted}
    notify({"notifications": notifications}, test)


def test_user_is_the_actor(receiver: Answering, tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        application.http.headers.update(basic("alice", "secret"))
        await push(application)
        assert [event["actor"] for event in await arrived(receiver, 2)] == [{"name": "alice"}] * 2

    users = tmp_path / "users"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    auth = {"htpasswd": {"realm": "r", "path": str(users)}}
    notify({"notifications": section(receiver.url, tmp_path / "q"), "auth": auth}, test)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"ignore": {"actions": ["pull"]}}, ["push", "push", "delete"]),
        ({"ignore": {"mediatypes": ["application/octet-stream"]}}, ["push", "pull", "delete"]),
        ({"ignoredmediatypes": [OCI_MANIFEST]}, ["push", "delete"]),
        (
            {"ignore": {"actions": ["delete"], "mediatypes": [OCI_MANIFEST]}},
            ["push"],
        ),
    ],
)
def test_filters_leave_events_out(
    receiver: Answering, tmp_path: Path, filters: dict[str, Any], expected: list[str]
) -> None:
    async def test(application: Application) -> None:
        await push(application)
        await application.http.get("/v2/a/b/manifests/v1")
        await application.http.delete("/v2/a/b/manifests/v1")
        events = await arrived(receiver, len(expected))
        assert [event["action"] for event in events] == expected

    notify({"notifications": section(receiver.url, tmp_path / "q", **filters)}, test)


def test_disabled_endpoint_is_sent_nothing_and_others_are(
    receiver: Answering, tmp_path: Path
) -> None:
    gone = f"http://127.0.0.1:{free_port()}/"

    async def test(application: Application) -> None:
        await push(application)
        await arrived(receiver, 2)

    notifications = section(receiver.url, tmp_path / "q")
    # One that is down holds nobody up.
    notifications["endpoints"] += [
        {"name": "disabled", "url": receiver.url, "disabled": True},
        {"name": "gone", "url": gone},
    ]
    notify({"notifications": notifications}, test)
    assert waiting(tmp_path / "q") == {"gone": 2}


def test_headers_are_sent_and_so_are_credentials_of_the_url(
    receiver: Answering, tmp_path: Path
) -> None:
    async def test(application: Application) -> None:
        await push(application)
        await arrived(receiver, 2)

    url = receiver.url.replace("//", "//me:pass%20word@")
    headers = {"X-Some": ["a", "b"]}
    notify({"notifications": section(url, tmp_path / "q", headers=headers)}, test)
    for _, sent in receiver.requests:
        assert sent["x-some"] == "a, b"
        assert sent["authorization"] == "Basic bWU6cGFzcyB3b3Jk"


@pytest.mark.parametrize("status", [500, 404, 429])
def test_events_that_are_not_accepted_are_sent_again_in_order(
    receiver: Answering, tmp_path: Path, status: int
) -> None:
    receiver.statuses = [status] * 3

    async def test(application: Application) -> None:
        await push(application)
        for tag in ("v2", "v3"):
            await push(application, tag)
        events = await arrived(receiver, 6)
        tags = [event["target"].get("tag") for event in events]
        assert tags == [None, "v1", None, "v2", None, "v3"]

    notify({"notifications": section(receiver.url, tmp_path / "q", threshold=2)}, test)


def test_redirect_is_acceptance_and_is_not_followed(receiver: Answering, tmp_path: Path) -> None:
    receiver.statuses = [302]

    async def test(application: Application) -> None:
        await push(application, name="first")
        async with asyncio.timeout(30):
            # What was accepted is gone from the queue.
            while not receiver.requests or waiting(tmp_path / "q"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)
    assert {method for method, _ in receiver.requests} == {"POST"}


def waiting(directory: Path) -> dict[str, int]:
    """Look into the queue as it is on disk."""
    with contextlib.closing(sqlite3.connect(directory / "events.sqlite")) as connection:
        select = "SELECT endpoint, count(*) FROM events GROUP BY endpoint"
        return dict(connection.execute(select))


def test_events_that_were_not_sent_wait_for_the_next_start(
    receiver: Answering, tmp_path: Path
) -> None:
    down = section(f"http://127.0.0.1:{free_port()}/", tmp_path / "q")

    async def first(application: Application) -> None:
        await push(application)

    async def second(application: Application) -> None:
        events = await arrived(receiver, 2)
        assert [event["target"].get("tag") for event in events] == [None, "v1"]

    notify({"notifications": down}, first)
    assert waiting(tmp_path / "q") == {"listener": 2}
    # They wait under the endpoint's name: its URL may be another by now.
    notify({"notifications": section(receiver.url, tmp_path / "q")}, second)
    assert waiting(tmp_path / "q") == {}


def test_event_is_on_disk_before_the_client_has_its_answer(tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        assert waiting(tmp_path / "q") == {"listener": 1}

    url = f"http://127.0.0.1:{free_port()}/"
    notify({"notifications": section(url, tmp_path / "q")}, test)


def test_request_that_is_on_its_way_at_the_end_is_not_sent_again(
    receiver: Answering, tmp_path: Path
) -> None:
    receiver.gate.clear()
    # Longer than a server that waits for nothing would take to end.
    opening = threading.Timer(0.3, receiver.gate.set)

    async def test(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        await until_asked(receiver)
        opening.start()

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)
    opening.join()
    assert waiting(tmp_path / "q") == {}
    assert len(receiver.events()) == 1


def test_only_one_of_several_processes_sends(receiver: Answering, tmp_path: Path) -> None:
    receiver.gate.clear()
    sections = {"notifications": section(receiver.url, tmp_path / "q")}

    async def second(first: Application, other: Application) -> None:
        await first.push_blob("a", DATA, sha256(DATA))
        await until_asked(receiver)
        # Longer than the other one takes to look.
        await asyncio.sleep(0.5)
        await other.push_blob("b", DATA, sha256(DATA))
        receiver.gate.set()
        events = await arrived(receiver, 2)
        assert [event["target"]["repository"] for event in events] == ["a", "b"]

    async def main(application: Application) -> None:
        other = Application(application.storage, application.driver, sections=sections)
        async with living(application.app), living(other.app), other.http:
            await second(application, other)

    run(main, sections=sections)


async def until_asked(receiver: Answering) -> None:
    async with asyncio.timeout(30):
        while not receiver.requests:  # noqa: ASYNC110  # the receiver is in a thread
            await asyncio.sleep(0.005)


def test_full_queue_takes_no_more_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(application: Application) -> None:
        for tag in ("v1", "v2", "v3"):
            await push(application, tag)

    notifications = section(f"http://127.0.0.1:{free_port()}/", tmp_path / "q")
    notifications["queue"]["most"] = 3
    notify({"notifications": notifications}, test)
    assert waiting(tmp_path / "q") == {"listener": 3}
    assert caplog.text.count("notifications to listener are lost: 3 wait") == 1


def test_change_whose_event_cannot_be_kept_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Queue, rows: Sequence[tuple[str, str]]) -> list[bool]:
        raise sqlite3.OperationalError("disk full")

    async def test(application: Application) -> None:
        await push(application)
        with monkeypatch.context() as patch:
            patch.setattr(Queue, "add", fail)
            params = {"digest": sha256(b"x")}
            path = "/v2/a/blobs/uploads/"
            response = await application.http.post(path, params=params, content=b"x")
            assert response.status_code == 503
            assert error_codes(response) == ["UNAVAILABLE"]
            # Who only reads is served.
            assert (await application.http.get("/v2/a/b/manifests/v1")).status_code == 200
        response = await application.http.post(path, params=params, content=b"x")
        assert response.status_code == 201
        assert waiting(tmp_path / "q") == {"listener": 3}

    notify({"notifications": section(f"http://127.0.0.1:{free_port()}/", tmp_path / "q")}, test)


def test_pull_goes_on_though_the_storage_does_not_tell_what_its_event_wants(
    receiver: Answering, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(application: Application) -> None:
        await push(application)
        looks = itertools.count()
        around = application.driver.around

        async def once(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            # The pull itself looks first, and then its event.
            if path.endswith(sha256(DATA)[7:] + "/link") and next(looks):
                raise ThrottledError
            return await around(operation, path, call)

        application.driver.around = once  # type: ignore[method-assign]  # it fails by turns
        path = f"/v2/a/b/blobs/{sha256(DATA)}"
        response = await application.http.get(path, headers={"range": "bytes=0-1"})
        assert (response.status_code, response.content) == (206, DATA[:2])

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)
    assert "a notification cannot be kept" in caplog.text


def test_references_of_what_is_no_json_are_none(receiver: Answering, tmp_path: Path) -> None:
    async def test(application: Application) -> None:
        digest = await push(application)
        # As another registry may have stored it.
        await application.storage.put_content(paths.blob(parse_digest(digest)), b"no JSON")
        response = await application.http.get("/v2/a/b/manifests/v1")
        assert (response.status_code, response.content) == (200, b"no JSON")
        *_, pulled = await arrived(receiver, 3)
        assert (pulled["action"], "references" in pulled["target"]) == ("pull", False)

    notifications = section(receiver.url, tmp_path / "q")
    notifications["events"] = {"includereferences": True}
    notify({"notifications": notifications}, test)


def test_events_of_an_endpoint_that_is_no_more_are_warned_of(
    receiver: Answering, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def first(application: Application) -> None:
        await push(application)

    async def second(application: Application) -> None:
        pass

    old = section(f"http://127.0.0.1:{free_port()}/", tmp_path / "q", name="old")
    notify({"notifications": old}, first)
    notify({"notifications": section(receiver.url, tmp_path / "q")}, second)
    assert "2 notifications wait for old, which is no endpoint now" in caplog.text


@pytest.mark.parametrize(
    ("endpoints", "message"),
    [
        ([{"name": "a"}], "notifications.endpoints.0.url: a URL"),
        ([{"name": "a", "url": "ftp://x/"}], "notifications.endpoints.0.url: a URL"),
        (
            [{"name": "a", "url": "http://x/"}, {"name": "a", "url": "http://y/"}],
            "notifications.endpoints.1.name: there is another",
        ),
    ],
)
def test_endpoint_that_is_wrong_is_an_error(endpoints: list[Any], message: str) -> None:
    config = load_configuration({"notifications": {"endpoints": endpoints}})
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        make_endpoints(config.settings.notifications.endpoints)


def test_secrets_of_an_endpoint_are_not_shown() -> None:
    one = {"url": "https://me:confidential@x/", "headers": {"Authorization": ["confidential"]}}
    config = load_configuration({"notifications": {"endpoints": [one]}})
    (endpoint,) = make_endpoints(config.settings.notifications.endpoints)
    assert "confidential" not in repr(endpoint)
    assert endpoint.name == "https://x/"


def test_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    notifications = section("http://127.0.0.1:9/", tmp_path / "file" / "q")
    told = fails_to_serve(tmp_path, notifications=notifications)
    assert "notifications.queue" in told
    assert len(told.splitlines()) == 1


def test_many_requests_at_once_share_transactions_and_lose_nothing(
    receiver: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    add = Queue.add

    def counted(self: Queue, rows: Sequence[tuple[str, str]]) -> list[bool]:
        batches.append(len(rows))
        return add(self, rows)

    monkeypatch.setattr(Queue, "add", counted)

    async def test(application: Application) -> None:
        await push(application)
        gets = [application.http.get("/v2/a/b/manifests/v1") for _ in range(50)]
        assert {response.status_code for response in await asyncio.gather(*gets)} == {200}
        await arrived(receiver, 52)
        assert max(batches) > 1

    notify({"notifications": section(receiver.url, tmp_path / "q")}, test)


@pytest.mark.parametrize("state", ["", "state:other"])
def test_queue_of_a_store_elsewhere_is_in_the_state_directory_and_that_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    state: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    first = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", state and f"{first}:{tmp_path / 'other'}")
    config = load_configuration({"storage": {"inmemory": {}}})
    expected = (first if state else tmp_path) / "registry-notifications"
    assert queue_directory(config) == expected
    assert f"notifications wait in {expected}" in caplog.text
