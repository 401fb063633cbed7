"""The Flask example, under the development server and under gunicorn: what clients see of it."""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storagedriver_core.tests.flask_files import (
    APPLICATION,
    EXAMPLE,
    Client,
    DevelopmentServer,
    FlaskFiles,
    Gunicorn,
)
from storagedriver_core.tests.waiting import wait_until

MIB = 1 << 20


@pytest.fixture(scope="module", params=[DevelopmentServer, Gunicorn])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FlaskFiles]:
    server: FlaskFiles = request.param(tmp_path_factory.mktemp("flask"))
    with server:
        yield server


@pytest.fixture
def client(server: FlaskFiles) -> Client:
    return Client(server.port)


def test_file_comes_back_whole_and_in_parts(client: Client) -> None:
    data = random.Random(1).randbytes(3 * MIB + 7)
    status, answer, _ = client.request("PUT", "/files/a/b.png", data)
    assert (status, json.loads(answer)["size"]) == (201, len(data))

    status, content, headers = client.request("GET", "/files/a/b.png")
    assert (status, content) == (200, data)
    assert headers["Content-Type"] == "image/png"
    etag = headers["ETag"]
    status, content, headers = client.request("HEAD", "/files/a/b.png", Range="bytes=0-1")
    assert (status, content, headers["Content-Length"]) == (200, b"", str(len(data)))
    assert headers["ETag"] == etag

    for asked, start, end in [
        ("bytes=10-1000009", 10, 1_000_010),
        ("bytes=3000000-", 3_000_000, len(data)),
        ("bytes=3000000-99999999", 3_000_000, len(data)),
        ("bytes=-5", len(data) - 5, len(data)),
        ("bytes=-99999999", 0, len(data)),
    ]:
        status, content, headers = client.request(
            "GET", "/files/a/b.png", Range=asked, If_Range=etag
        )
        assert (status, content) == (206, data[start:end]), asked
        assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
        assert headers["Content-Length"] == str(end - start)


def test_conditions_of_readers_are_kept(client: Client) -> None:
    client.request("PUT", "/files/conditions", b"content")
    _, _, headers = client.request("GET", "/files/conditions")
    etag, modified = headers["ETag"], headers["Last-Modified"]
    for condition in [{"If_None_Match": etag}, {"If_Modified_Since": modified}]:
        status, content, headers = client.request("GET", "/files/conditions", None, **condition)
        assert (status, content, headers["ETag"]) == (304, b"", etag)
    assert client.request("GET", "/files/conditions", If_None_Match='"other"')[0] == 200
    # A part of another version is of no use to who has the beginning of this one.
    status, content, _ = client.request(
        "GET", "/files/conditions", Range="bytes=3-", If_Range='"other"'
    )
    assert (status, content) == (200, b"content")
    for beyond in ["bytes=7-", "bytes=8-9"]:
        status, _, headers = client.request("GET", "/files/conditions", Range=beyond)
        assert (status, headers["Content-Range"]) == (416, "bytes */7")


def test_conditions_of_writers_are_kept(client: Client) -> None:
    assert client.request("PUT", "/files/once", b"first", If_None_Match="*")[0] == 201
    assert client.request("PUT", "/files/once", b"second", If_None_Match="*")[0] == 412
    assert client.request("PUT", "/files/once", b"third", If_Match='"any"')[0] == 501
    assert client.request("GET", "/files/once")[1] == b"first"


def test_commands_of_the_readme_do_what_they_say(client: Client, tmp_path: Path) -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    install, serve, *commands = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    assert install.startswith("pip install flask gunicorn ")
    assert serve == f"gunicorn '{APPLICATION}'"  # but for the address, what `Gunicorn` starts
    (tmp_path / "picture.png").write_bytes(bytes(1000))
    answers = [asked_as_by_curl(client, command, tmp_path) for command in commands]
    assert [status for status, _ in answers] == [201, 412, 206, 200, 204]
    assert answers[2][1] == bytes(100)
    assert [entry["name"] for entry in json.loads(answers[3][1])["entries"]] == ["one.png"]


def asked_as_by_curl(client: Client, command: str, folder: Path) -> tuple[int, bytes]:
    """Make the request that `curl` would make, which is not everywhere."""
    curl = argparse.ArgumentParser()
    curl.add_argument("url")
    for option, name in {"-T": "file", "-H": "header", "-r": "range", "-X": "method"}.items():
        curl.add_argument(option, dest=name)
    program, *arguments = shlex.split(command, comments=True)
    given = curl.parse_args(arguments)
    assert program == "curl"
    headers = {"Range": f"bytes={given.range}"} if given.range else {}
    if given.header:
        name, _, value = given.header.partition(": ")
        headers[name] = value
    body = (folder / given.file).read_bytes() if given.file else None
    method = given.method or ("PUT" if given.file else "GET")
    path = given.url.removeprefix("http://127.0.0.1:8000")
    status, content, _ = client.request(method, path, body, **headers)
    return status, content


def test_mistakes_are_told_by_their_status(client: Client) -> None:
    assert client.request("GET", "/files/missing")[0] == 404
    assert client.request("HEAD", "/files/missing")[0] == 404
    assert client.request("DELETE", "/files/missing")[0] == 404
    assert client.request("GET", "/files/missing/")[0] == 404
    client.request("PUT", "/files/directory/file", b"")
    assert client.request("GET", "/files/directory")[0] == 404
    assert client.request("HEAD", "/files/directory")[0] == 404
    assert client.request("DELETE", "/files/directory")[0] == 409
    assert client.request("PUT", "/files/directory", b"")[0] == 409
    assert client.request("PUT", "/files/directory/file/below", b"")[0] == 409
    for path in ["a/../b", "a/./b", ".storagedriver/a", "x" * 300]:
        status, answer, _ = client.request("PUT", f"/files/{path}", b"")
        assert status == 400, path
        assert json.loads(answer)["error"]
    assert client.request("DELETE", "/files/directory/file")[0] == 204
    assert client.request("GET", "/files/directory/")[0] == 404


def test_listing_comes_in_pages(client: Client, server: FlaskFiles) -> None:
    names = [f"{number:04}" for number in range(1005)]
    # By the back door, which does not wait for the disk.
    (server.files / "list" / "0500-directory").mkdir(parents=True)
    for name in [*names, "0500-directory/file"]:
        (server.files / "list" / name).write_bytes(b"1")
    status, answer, _ = client.request("GET", "/files/list/")
    first = json.loads(answer)
    assert (status, len(first["entries"])) == (200, 1000)
    assert first["entries"][0].items() >= {"name": "0000", "size": 1}.items()
    assert first["entries"][501] == {"name": "0500-directory/"}
    _, answer, _ = client.request("GET", f"/files/list/?after={first['next']}")
    second = json.loads(answer)
    assert [entry["name"] for entry in second["entries"]] == names[999:]
    assert second["next"] is None
    _, answer, _ = client.request("GET", "/files/list/?after=0500-directory/")
    assert json.loads(answer)["entries"][0]["name"] == "0501"


@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "chunked"])
def test_upload_of_a_client_that_goes_away_shows_nothing(
    client: Client, server: FlaskFiles, chunked: bool
) -> None:
    client.request("PUT", "/files/gone/old", b"old")
    with server.storage() as storage:
        for name in ["old", "new"]:
            connection = begin_upload(client, f"/files/gone/{name}", chunked=chunked)
            wait_until(lambda: len(list(storage.list_uploads())) == 1)
            connection.close()
            wait_until(lambda: not list(storage.list_uploads()))
        assert [info.path for info in storage.walk("/gone")] == ["/gone/old"]
        assert storage.get_content("/gone/old") == b"old"


def begin_upload(client: Client, path: str, *, chunked: bool) -> http.client.HTTPConnection:
    """Send the head of a request and a part of its body."""
    connection = client.connect()
    connection.putrequest("PUT", path)
    part = bytes(MIB)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(b"%x\r\n%s\r\n" % (len(part), part))
    else:
        connection.putheader("Content-Length", str(3 * len(part)))
        connection.endheaders()
        connection.send(part)
    return connection


def test_chunked_upload_is_stored(client: Client) -> None:
    chunks = [b"first, ", b"second, ", bytes(MIB)]
    connection = client.connect()
    connection.request("PUT", "/files/chunks", iter(chunks), encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()
    assert client.request("GET", "/files/chunks")[1] == b"".join(chunks)


def test_download_of_a_client_that_goes_away_is_closed(client: Client, server: FlaskFiles) -> None:
    with server.storage() as storage:
        storage.put_content("/large", iter([bytes(MIB)] * 64))
    connection = client.connect()
    connection.request("GET", "/files/large")
    answer = connection.getresponse()
    assert answer.read(1000) == bytes(1000)
    assert server.holds_open("large")
    answer.close()
    connection.close()
    wait_until(lambda: not server.holds_open("large"))


def test_clients_at_once_get_what_is_theirs(client: Client) -> None:
    def work(number: int) -> None:
        own = f"/files/many/{number}"
        for turn in range(5):
            data = bytes([number]) * (100_000 + turn)
            assert client.request("PUT", own, data)[0] == 201
            assert client.request("GET", own)[1] == data
            assert client.request("PUT", "/files/many/all", data)[0] == 201
            shared = client.request("GET", "/files/many/all")[1]
            assert len(set(shared)) == 1
            assert len(shared) >= 100_000

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    _, answer, _ = client.request("GET", "/files/many/")
    assert len(json.loads(answer)["entries"]) == 13


def test_server_ends_when_it_is_told_to(server: FlaskFiles, client: Client) -> None:
    assert client.request("GET", "/files/")[0] == 200
    everybody = server.family()
    everybody[0].terminate()
    for process in everybody:
        process.wait(60)
    assert "Exception" not in server.log.read_text(encoding="utf-8")
