"""The log: its forms, the line of a request, and ids."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from storagedriver_registry.api.addresses import remote_address
from storagedriver_registry.logs import Event
from storagedriver_registry.logs.formatters import FieldsFormatter

from registry.tests.application import Application, run
from registry.tests.authentication import basic, write_users
from registry.tests.client import Repository, sha256
from registry.tests.serving import Served, eventually, served
from storagedriver_core import UnavailableError

DATA = b"0123456789" * 1000


def record(message: object, level: int = logging.INFO, **others: Any) -> logging.LogRecord:
    made = logging.LogRecord("some.logger", level, "/a/file.py", 7, message, (), None)
    made.created = 1_700_000_000.25
    made.__dict__.update(others)
    return made


def write(form: str, what: logging.LogRecord, *, caller: bool = False, **fields: object) -> str:
    return FieldsFormatter(form, fields, report_caller=caller).format(what)


def test_text_is_as_logrus_writes_it() -> None:
    event = Event("response completed", {"http.response.status": 200, "empty": "", "a": 'b"\n'})
    assert write("text", record(event), service="registry") == (
        'time="2023-11-14T22:13:20.250000Z" level=info msg="response completed" service=registry '
        'http.response.status=200 empty="" a="b\\"\\n"'
    )


def test_json_and_logstash_are_of_one_line_with_the_names_of_their_readers() -> None:
    event = Event("done", {"status": 200})
    assert json.loads(write("json", record(event, logging.WARNING), env="a")) == {
        **{"time": "2023-11-14T22:13:20.250000Z", "level": "warning", "msg": "done"},
        **{"env": "a", "status": 200},
    }
    assert json.loads(write("logstash", record("plain"))) == {
        **{"@timestamp": "2023-11-14T22:13:20.250000Z", "level": "info", "message": "plain"},
        **{"@version": "1", "logger": "some.logger"},
    }


@pytest.mark.parametrize("form", ["text", "json", "logstash"])
def test_failure_is_in_the_line_and_no_field_replaces_what_the_line_is(form: str) -> None:
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        failed = record("failed", exc_info=(ValueError, error, error.__traceback__))
    line = write(form, failed, caller=True, level="mine")
    assert "\n" not in line
    assert "ValueError" in line
    assert "fields.level" in line and "/a/file.py:7" in line


def test_event_is_one_text_for_others_loggers() -> None:
    assert str(Event("done", {"status": 200, "of": "a b"})) == 'done status=200 of="a b"'


@pytest.mark.parametrize(
    ("headers", "client", "address"),
    [
        ({}, ("192.0.2.1", 5), "192.0.2.1:5"),
        ({}, ("2001:db8::1", 5), "[2001:db8::1]:5"),
        ({}, ("::ffff:192.0.2.1", 5), "192.0.2.1:5"),
        ({}, ("", 0), ""),
        ({}, None, ""),
        ({"x-forwarded-for": "192.0.2.7, 192.0.2.8"}, ("192.0.2.1", 5), "192.0.2.7"),
        ({"x-forwarded-for": "2001:db8::7"}, ("192.0.2.1", 5), "2001:db8::7"),
        ({"x-forwarded-for": "who knows"}, ("192.0.2.1", 5), "192.0.2.1:5"),
        ({"x-forwarded-for": "?", "x-real-ip": "192.0.2.9"}, ("192.0.2.1", 5), "192.0.2.9"),
    ],
)
def test_address_is_what_the_first_proxy_was_asked_by(
    headers: Mapping[str, str], client: tuple[str, int] | None, address: str
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert remote_address({"headers": raw, "client": client}) == address


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Give the lines as they would be written."""
    written: list[str] = []
    formatter = FieldsFormatter("json", {})

    class Writer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # Now: later it is not known which request was at work.
            written.append(formatter.format(record))

    caplog.set_level(logging.INFO)
    writer, logger = Writer(), logging.getLogger("storagedriver_registry")
    logger.addHandler(writer)
    yield lambda: [json.loads(line) for line in written]
    logger.removeHandler(writer)


def test_line_of_a_request_says_who_asked_what_and_got_how_much(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    async def ask(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        headers = {"user-agent": "one/1", "x-forwarded-for": "192.0.2.7"}
        path = f"/v2/a/blobs/{sha256(DATA)}?x=1&_state=secret"
        assert (await application.http.get(path, headers=headers)).content == DATA
        await application.http.head(path)

    run(ask)
    _, got, looked = lines()
    assert float(got.pop("http.response.duration").removesuffix("ms")) >= 0
    assert len(got.pop("http.request.id")) == 32
    assert got.pop("time")
    assert got == {
        "level": "info",
        "msg": "response completed",
        "http.request.method": "GET",
        # The word that vouches for an upload session is left out.
        "http.request.uri": f"/v2/a/blobs/{sha256(DATA)}?x=1",
        "http.request.host": "registry",
        "http.request.remoteaddr": "192.0.2.7",
        "http.request.useragent": "one/1",
        "http.response.status": 200,
        "http.response.written": len(DATA),
        "http.response.contenttype": "application/octet-stream",
    }
    assert (looked["http.response.status"], looked["http.response.written"]) == (200, 0)


def test_answer_that_is_cut_off_has_its_line_with_what_was_sent(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    # Small ones are read before anything is answered.
    large = DATA * 10

    async def pull(application: Application) -> None:
        await application.push_blob("a", large, sha256(large))
        application.driver.fail("read", UnavailableError())
        with pytest.raises(UnavailableError):
            await application.http.get(f"/v2/a/blobs/{sha256(large)}")

    run(pull)
    failure, line = lines()[1:]
    assert (line["http.response.status"], line["http.response.written"]) == (200, 0)
    assert "an answer was cut off" in failure["msg"]
    assert failure["http.request.id"] == line["http.request.id"]


def test_lines_of_requests_at_the_same_time_are_told_apart(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    async def fail(application: Application) -> None:
        application.driver.fail("get_content", UnavailableError("down"))
        await asyncio.gather(
            *(
                application.http.get(f"/v2/a/manifests/t{number}", headers={"x-request-id": id_})
                for number, id_ in enumerate(ids)
            )
        )

    ids = [f"request-{number}" for number in range(10)]
    run(fail)
    for number, id_ in enumerate(ids):
        own = [line for line in lines() if line["http.request.id"] == id_]
        assert [line["level"] for line in own] == ["warning", "info"]
        assert {line["http.request.uri"] for line in own} == {f"/v2/a/manifests/t{number}"}


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("6fa459ea-ee8a-3ca4-894e-db77e160355e", True),
        ("Root=1-67891233-abcdef012345678912345678", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("two words", False),
        ('quo"te', False),
        ("é", False),
    ],
)
def test_id_of_the_client_is_taken_when_it_is_sane(given: str, is_taken: bool) -> None:
    async def ask(application: Application) -> None:
        response = await application.http.get("/v2/", headers={b"x-request-id": given.encode()})
        assert (response.headers["x-request-id"] == given) == is_taken
        assert response.headers["x-request-id"]
        other = await application.http.get("/v2/none/tags/list")
        assert other.headers["x-request-id"] != response.headers["x-request-id"]

    run(ask)


def requests(server: Served) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [line for line in found if line["msg"] == "response completed"]


def test_server_logs_in_json_with_its_fields_its_users_and_whole_files(tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", {"alice": "wonderland"})
    log = {"formatter": "json", "fields": {"service": "registry", "environment": "staging"}}
    auth = {"htpasswd": {"realm": "r", "path": str(users)}}
    with (
        served(tmp_path, log=log, auth=auth) as server,
        httpx.Client(base_url=server.url, headers=basic("alice", "wonderland")) as http,
    ):
        repository = Repository(http, "logged")
        digest = repository.push_blob(DATA)
        assert repository.blob(digest).content == DATA
        assert httpx.get(f"{server.url}/v2/").status_code == 401
        eventually(lambda: len(requests(server)) == 4)
        *_, got, refused = requests(server)
    assert (got["auth.user.name"], got["http.response.written"]) == ("alice", len(DATA))
    assert (got["service"], got["environment"]) == ("registry", "staging")
    assert got["http.request.remoteaddr"].startswith("127.0.0.1:")
    assert "auth.user.name" not in refused
    # The reason of the refusal has the id of its request.
    (reason,) = [line for line in server.lines if "not authorized" in line]
    assert json.loads(reason)["http.request.id"] == refused["http.request.id"]


@pytest.mark.parametrize(
    "log", [{"accesslog": {"disabled": True}}, {"level": "warn"}], ids=["disabled", "level"]
)
def test_no_line_is_written_and_ids_are_answered_all_the_same(
    tmp_path: Path, log: dict[str, Any]
) -> None:
    with served(tmp_path, log=log) as server:
        assert httpx.get(f"{server.url}/v2/").headers["x-request-id"]
        assert server.stop() == 0
    assert "response completed" not in server.log
