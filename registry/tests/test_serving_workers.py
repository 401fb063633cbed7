"""Several processes that serve, and the one that watches over them."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from registry.tests.application import Application, run
from registry.tests.authentication import basic, living
from registry.tests.client import Repository, SlowRequest, sha256
from registry.tests.serving import SECONDS, Served, eventually, fails_to_serve, served

DATA = bytes(range(256)) * 8_000


def answers(server: Served) -> bool:
    """A connection each time, so that any worker may get it."""
    with httpx.Client(base_url=server.url) as http:
        return http.get("/v2/").status_code == 200


def kill(server: Served, worker: int) -> None:
    """Kill a worker, and wait until there is another in its place."""
    count = len(server.workers())
    os.kill(worker, signal.SIGKILL)

    def others() -> int:
        return len([pid for pid in server.workers() if pid != worker])

    eventually(others, lambda found: found == count)


def test_worker_that_is_killed_is_replaced_while_the_others_go_on(tmp_path: Path) -> None:
    with served(tmp_path, 3) as server:
        before = server.workers()
        assert len(before) == 3
        # Several times, and soon one after the other: that is no reason to give up.
        for round_ in range(3):
            kill(server, server.workers()[0])
            assert all(answers(server) for _ in range(20))
            assert server.log.count("was killed by SIGKILL") == round_ + 1
        assert set(server.workers()) != set(before)
        assert server.stop() == 0
    # Said once, not by each.
    assert server.log.count("serving ") == 1


def suspend(worker: psutil.Process) -> None:
    worker.suspend()
    while worker.status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)


def test_connection_that_waits_is_not_lost_with_a_worker(tmp_path: Path) -> None:
    with served(tmp_path, 2) as server:
        first, second = (psutil.Process(pid) for pid in server.workers())
        for worker in (first, second):
            suspend(worker)
        # Nobody can take it: it waits at the socket that both share.
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as waiting:
            waiting.sendall(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n")
            first.kill()
            second.resume()
            assert waiting.recv(12) == b"HTTP/1.1 200"


def connections(server: Served) -> list[int]:
    """Give how many connections each of the workers has."""
    workers = [psutil.Process(pid) for pid in server.workers()]
    return [
        sum(
            found.status == psutil.CONN_ESTABLISHED and found.laddr.port == server.port
            for found in worker.net_connections("tcp")
        )
        for worker in workers
    ]


def test_connections_that_come_at_once_are_shared(tmp_path: Path) -> None:
    with served(tmp_path, 2) as server:

        def share() -> list[int]:
            with contextlib.ExitStack() as stack:
                for _ in range(16):
                    client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                    stack.enter_context(client)
                return eventually(lambda: connections(server), lambda found: sum(found) == 16)

        # On a machine that is busy a worker may sleep for long: then its share is smaller.
        assert eventually(share, lambda found: min(found) >= 6)


def test_clients_wait_while_too_many_files_are_open(tmp_path: Path) -> None:
    with served(tmp_path, 1) as server, contextlib.ExitStack() as stack:
        process = psutil.Process(server.process.pid)

        def connect() -> socket.socket:
            client = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
            return stack.enter_context(client)

        def ask(client: socket.socket) -> None:
            client.sendall(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n")

        def assert_answered(client: socket.socket) -> None:
            assert client.recv(12) == b"HTTP/1.1 200"

        first = connect()
        ask(first)
        assert_answered(first)
        most = process.rlimit(psutil.RLIMIT_NOFILE)[1]
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 3, most))
        waiting = [connect() for _ in range(8)]
        for client in waiting:
            ask(client)
        said = "connections cannot be taken for a second: Too many open files"
        eventually(lambda: said in server.log)
        time.sleep(0.5)
        # Who is served already is served on.
        first.recv(1 << 16)
        ask(first)
        assert_answered(first)
        process.rlimit(psutil.RLIMIT_NOFILE, (most, most))
        for client in waiting:
            assert_answered(client)
        # Not at each turn of the loop.
        assert server.log.count(said) < 100


def test_workers_share_the_sessions_that_only_were_begun(tmp_path: Path) -> None:
    with served(tmp_path, 3) as server:
        for number in range(12):
            name = f"shared/{number}"
            with httpx.Client(base_url=server.url) as http:
                location = Repository(http, name).begin()
            with httpx.Client(base_url=server.url) as http:
                response = Repository(http, name).patch(location, DATA)
                assert response.status_code == 202
            with httpx.Client(base_url=server.url) as http:
                repository = Repository(http, name)
                location = repository.location(response)
                assert repository.finish(location, sha256(DATA)).status_code == 201


def test_worker_waits_for_another_that_is_at_the_first_chunk(tmp_path: Path) -> None:
    with (
        served(tmp_path, 2) as server,
        httpx.Client(base_url=server.url) as http,
        ThreadPoolExecutor() as threads,
    ):
        first, second = (psutil.Process(pid) for pid in server.workers())
        repository = Repository(http, "shared")
        location = repository.begin()
        suspend(second)
        with SlowRequest("PATCH", location, content_length=len(DATA) + 1) as slow:
            second.resume()
            suspend(first)
            slow.send(DATA[:1000])
            slow.go_away("close")
        # Goes to the other worker. It is refused for its range, and told what has come.
        headers = {"content-range": "9999999-9999999"}
        asking = threads.submit(httpx.patch, location, content=b"x", headers=headers)
        with pytest.raises(TimeoutError):
            asking.result(0.5)
        first.resume()
        response = asking.result(SECONDS)
        assert (response.status_code, response.headers["range"]) == (416, "0-999")
        response = repository.patch(repository.location(response), DATA[1000:])
        assert response.status_code == 202
        location = repository.location(response)
        assert repository.finish(location, sha256(DATA)).status_code == 201


def test_password_that_is_made_is_logged_once(tmp_path: Path) -> None:
    auth = {"htpasswd": {"realm": "r", "path": str(tmp_path / "users")}}
    with served(tmp_path, 3, auth=auth, log={"level": "error"}) as server:
        (line,) = [line for line in server.lines if "password=" in line]
        password = line.partition("password=")[2].partition('"')[0]
        for _ in range(6):
            response = httpx.get(f"{server.url}/v2/", headers=basic("docker", password))
            assert response.status_code == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_storage_that_cannot_be_opened_is_told_once(tmp_path: Path, workers: int) -> None:
    (tmp_path / "file").write_bytes(b"")
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "file")}}
    told = fails_to_serve(tmp_path, workers, storage=storage)
    assert str(tmp_path / "file") in told
    assert len(told.splitlines()) == 1


def test_workers_stop_when_the_process_above_them_is_gone(tmp_path: Path) -> None:
    with served(tmp_path, 2) as server:
        workers = server.workers()
        server.process.kill()
        server.process.wait()
        eventually(
            lambda: [pid for pid in workers if psutil.pid_exists(pid)], lambda left: not left
        )
        assert server.refuses()


def test_workers_finish_what_they_are_at_when_the_process_above_them_is_gone(
    tmp_path: Path,
) -> None:
    with served(tmp_path, 2) as server, contextlib.ExitStack() as stack:
        uploads = [stack.enter_context(contextlib.closing(begin_upload(server))) for _ in range(8)]
        workers = server.workers()
        server.process.kill()
        server.process.wait()
        # Whoever starts another at once is not in the way of these, nor they in its.
        eventually(server.refuses, bool)
        assert [pid for pid in workers if psutil.pid_exists(pid)]
        for upload in uploads:
            upload.send(DATA[1:])
            with upload.getresponse() as answer:
                assert answer.status == 202
        eventually(
            lambda: [pid for pid in workers if psutil.pid_exists(pid)], lambda left: not left
        )


def begin_upload(server: Served) -> http.client.HTTPConnection:
    """Begin an upload, and send the first byte of its only chunk."""
    place = httpx.post(f"{server.url}/v2/a/b/blobs/uploads/").headers["Location"]
    upload = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    upload.putrequest("PATCH", urlsplit(place)._replace(scheme="", netloc="").geturl())
    upload.putheader("Content-Length", str(len(DATA)))
    upload.endheaders(DATA[:1])
    return upload


def test_worker_that_is_stopped_by_itself_is_replaced(tmp_path: Path) -> None:
    with served(tmp_path, 2) as server:
        victim = server.workers()[0]
        os.kill(victim, signal.SIGTERM)
        eventually(lambda: "ended with status 0" in server.log)
        eventually(lambda: len(server.workers()) == 2)
        assert answers(server)


@pytest.mark.parametrize(
    ("narrow", "sections", "is_warned"),
    [
        ({"put_if_absent": False}, {}, True),
        ({"put_if_absent": False}, {"http": {"secret": "the same for all"}}, False),
        ({}, {}, False),
    ],
)
def test_storage_that_cannot_keep_one_key_for_several_servers_is_told(
    caplog: pytest.LogCaptureFixture,
    narrow: dict[str, bool],
    sections: dict[str, object],
    is_warned: bool,
) -> None:
    async def start(application: Application) -> None:
        async with living(application.app):
            assert (await application.http.get("/v2/")).status_code == 200

    run(start, narrow, sections=sections)
    assert ("http.secret is not set" in caplog.text) == is_warned
