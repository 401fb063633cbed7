"""Stopping: what happens to the requests that are being answered."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from pathlib import Path
from subprocess import PIPE

import httpx
import psutil
import pytest
from hyperframe.frame import Frame, PingFrame, SettingsFrame

from registry.tests.client import Repository, SlowRequest, sha256
from registry.tests.serving import SECONDS, Certificates, Served, eventually, served


def begin(server: Served) -> str:
    with httpx.Client(base_url=server.url) as http:
        return Repository(http, "drained").begin()


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_running_request_ends_and_no_connection_is_taken(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    with served(tmp_path, workers, http={"draintimeout": "60s"}) as server:
        location = begin(server)
        with SlowRequest("PATCH", location, content_length=8) as slow:
            slow.send(b"half")
            server.process.send_signal(number)
            eventually(server.refuses)
            slow.send(b"more")
            assert slow.status() == 202
        assert server.process.wait(SECONDS) == 0
    # Nothing but what the upload itself is kept in.
    assert len(server.staged()) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_have_so_long_and_are_cut_off_then(tmp_path: Path, workers: int) -> None:
    with served(tmp_path, workers, http={"draintimeout": "300ms"}) as server:
        location = begin(server)
        with SlowRequest("PATCH", location, content_length=8) as slow:
            slow.send(b"half")
            server.process.terminate()
            # What a process says whose requests were not all finished, as distribution's does.
            assert server.process.wait(SECONDS) == 1
            assert slow.end()[:12] in (b"", b"HTTP/1.1 500")
        assert (
            "requests were cut off that were not finished within http.draintimeout: 1" in server.log
        )
        assert "Traceback" not in server.log
    # The upload lives on.
    with served(tmp_path, workers) as server, httpx.Client(base_url=server.url) as http:
        repository, location = Repository(http, "drained"), httpx.URL(location).raw_path.decode()
        kept = http.get(location).headers["range"]
        assert kept in ("0-0", "0-3")
        whole = b"more" if kept == "0-0" else b"halfmore"
        assert repository.finish(location, sha256(whole), b"more").status_code == 201


def test_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    data = bytes(64 * 1024 * 1024)
    with served(tmp_path, http={"draintimeout": "300ms"}) as server:
        with httpx.Client(base_url=server.url) as http:
            repository = Repository(http, "slow")
            repository.push_blob(data)
        with socket.create_connection(("127.0.0.1", server.port)) as reader:
            path = repository.url(f"blobs/{sha256(data)}")
            reader.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert reader.recv(12) == b"HTTP/1.1 200"
            server.process.terminate()
            assert server.process.wait(SECONDS) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_second_signal_ends_it_at_once(tmp_path: Path, workers: int) -> None:
    with served(tmp_path, workers) as server:
        processes = server.workers()
        with SlowRequest("PATCH", begin(server), content_length=8):
            server.process.terminate()
            eventually(server.refuses)
            assert server.process.poll() is None
            server.process.terminate()
            assert server.process.wait(SECONDS) == -signal.SIGTERM
        eventually(
            lambda: [pid for pid in processes if psutil.pid_exists(pid)], lambda left: not left
        )


def test_idle_connections_do_not_keep_it(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with (
        served(tmp_path, 2, http={"tls": certificates.section()}) as server,
        httpx.Client(verify=certificates.context()) as http,
        socket.create_connection(("127.0.0.1", server.port)),
    ):
        assert http.get(f"{server.url}/v2/").status_code == 200
        is_there = threading.Event()
        idle = threading.Thread(target=stay, args=(server, certificates, is_there))
        idle.start()
        assert is_there.wait(SECONDS)
        assert server.stop() == 0
        idle.join(SECONDS)
        assert not idle.is_alive()


def stay(server: Served, certificates: Certificates, is_there: threading.Event) -> None:
    """Be an idle client with HTTP/2 that answers the server until that hangs up.

    By hand: h2 takes a ping after GOAWAY, which the server sends to see what was on its way, for an
    error.
    """
    context = certificates.context()
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        encrypted.makefile("rb") as received,
    ):
        encrypted.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())
        while head := received.read(9):
            frame, length = Frame.parse_frame_header(memoryview(head))
            body = received.read(length)
            if isinstance(frame, SettingsFrame):
                is_there.set()
            elif isinstance(frame, PingFrame):
                encrypted.sendall(PingFrame(0, body, flags=["ACK"]).serialize())


def test_running_request_of_http2_ends(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with served(tmp_path, http={"tls": certificates.section()}) as server:
        with httpx.Client(base_url=server.url, verify=certificates.context()) as http:
            location = Repository(http, "drained").begin()
        options: list[str | Path] = [
            "--http2",
            "--cacert",
            certificates.authority,
            "--request",
            "PATCH",
        ]
        output = ["--write-out", "%{http_version} %{http_code}", "--upload-file", "-"]
        command: list[str | Path] = ["curl", "--silent", "--no-buffer", *options, *output, location]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as curl:
            assert curl.stdin is not None and curl.stdout is not None
            curl.stdin.write(b"half")
            curl.stdin.flush()
            eventually(lambda: server.staged())
            server.process.terminate()
            eventually(server.refuses)
            curl.stdin.write(b"more")
            curl.stdin.close()
            assert curl.stdout.read() == b"2 202"
        assert server.process.wait(SECONDS) == 0


def test_interrupt_of_the_terminal_lets_requests_end_too(tmp_path: Path) -> None:
    # Ctrl-C reaches all processes at once.
    with served(tmp_path, 2) as server:
        with SlowRequest("PATCH", begin(server), content_length=8) as slow:
            slow.send(b"half")
            for process in (server.process.pid, *server.workers()):
                psutil.Process(process).send_signal(signal.SIGINT)
            eventually(server.refuses)
            slow.send(b"more")
            assert slow.status() == 202
        assert server.process.wait(SECONDS) == 0


def answer_of(server: Served) -> bytes | None:
    """Give the answer to a request on a connection of its own; None if there is no connection.

    Of a kept one, no server can tell that a request is on its way.
    """
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            while data := connection.recv(10_000):
                answer += data
    except ConnectionRefusedError:
        return None
    except ConnectionError:
        pass  # it was reset
    return answer


def test_busy_clients_see_no_error_while_it_stops(tmp_path: Path) -> None:
    """A request is answered whole, or not at all, and then it may be asked again.

    Of a connection that was taken a moment ago nothing may have been read when the server stops: it
    is closed then (by hyper). One that nobody has taken is reset (by the kernel). Whoever asked
    something that changes nothing asks again.
    """
    broken: list[bytes] = []
    answered = threading.Semaphore(0)
    stopping = threading.Event()
    with served(tmp_path, 2) as server:

        def ask() -> None:
            while (answer := answer_of(server)) is not None:
                head, _, body = answer.partition(b"\r\n\r\n")
                if head.startswith(b"HTTP/1.1 200 ") and body == b"{}":
                    answered.release()
                elif answer or not stopping.is_set():
                    broken.append(answer)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            assert answered.acquire(timeout=SECONDS)
        stopping.set()
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    assert broken == []
