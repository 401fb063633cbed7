"""What holds for every server: its ports, its end, and what is said when it does not start."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from servers import _process
from servers._ports import Ports
from servers._process import HOST, MissingProgramError, ServerError
from servers.valkey import Valkey

ROOT = Path(__file__).resolve().parents[2]
needs_valkey = pytest.mark.service("valkey-server")


def say(port: int, line: str) -> str:
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.sendall(line.encode() + b"\r\n")
        return connection.recv(1000).decode()


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_no_port_is_given_twice() -> None:
    sets = [Ports(10) for _ in range(20)]
    try:
        given = [port for ports in sets for port in ports.numbers]
        assert len(set(given)) == 200
    finally:
        for ports in sets:
            ports.release()


def test_port_of_somebody_else_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr("random.sample", lambda span, count: [taken, taken + 1, taken + 2])
        ports = Ports(1)
        assert taken not in ports.numbers
        ports.release()


@needs_valkey
def test_server_that_lost_its_port_gets_another(tmp_path: Path) -> None:
    with socket.socket() as thief:

        class Unlucky(Valkey):
            asked = 0

            def arguments(self) -> Sequence[str]:
                self.asked += 1
                if self.asked == 1:
                    thief.bind((HOST, self.port))
                return super().arguments()

        with Unlucky(tmp_path) as server:
            assert server.asked == 2
            assert server.port != thief.getsockname()[1]
            assert say(server.port, "PING") == "+PONG\r\n"


@needs_valkey
def test_server_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    class Misled(Valkey):
        def arguments(self) -> Sequence[str]:
            return ["--no-such-setting", "1"]

    with pytest.raises(ServerError, match=r"(?s)Misled ended \(1\).*no-such-setting"):
        Misled(tmp_path).start()


@needs_valkey
def test_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    class Silent(Valkey):
        start_seconds = 0.1
        seen = 0

        def is_ready(self) -> bool:
            self.seen = self.pid or self.seen
            return False

    server = Silent(tmp_path)
    with pytest.raises(ServerError, match=r"Silent was not ready in 0.1 s"):
        server.start()
    assert server.pid is None
    assert not psutil.pid_exists(server.seen)


def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_process, "PROGRAMS", tmp_path)
    with pytest.raises(MissingProgramError, match="valkey-server: not there; `make services`"):
        Valkey(tmp_path).start()


@needs_valkey
@pytest.mark.parametrize("end", [Valkey.stop, Valkey.kill])
def test_server_starts_again_where_it_was_with_what_it_had(
    tmp_path: Path, end: Callable[[Valkey], None]
) -> None:
    with Valkey(tmp_path, on_disk=True) as server:
        port = server.port
        assert say(port, "SET key value") == "+OK\r\n"
        end(server)
        assert server.pid is None
        with pytest.raises(ConnectionRefusedError):
            say(port, "PING")
        server.start()
        assert server.port == port
        assert say(port, "GET key") == "$5\r\nvalue\r\n"


@needs_valkey
def test_nothing_stays_open(tmp_path: Path) -> None:
    gc.collect()  # or what an earlier test left may go in between
    before = open_descriptors()
    with Valkey(tmp_path) as server:
        server.kill()
        server.start()
        process = psutil.Process(server.pid)
        say(server.port, "SHUTDOWN")
        process.wait(60)
        assert server.pid is None
        server.start()
    assert open_descriptors() == before


@needs_valkey
def test_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = """
import os, pathlib, signal, sys
from servers.valkey import Valkey
server = Valkey(pathlib.Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(60)
    assert not psutil.pid_exists(pid)


@needs_valkey
def test_command_runs_a_server_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "servers", "valkey", "--directory", str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background with SIGINT ignored, and so would be this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline()
            assert url.startswith("url: redis://127.0.0.1:")
            while not process.stdout.readline().startswith("Ctrl-C"):
                pass
            port = int(url.rpartition(":")[2])
            assert say(port, "PING") == "+PONG\r\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()  # or the end of the block would wait for it
    with pytest.raises(ConnectionRefusedError):
        say(port, "PING")
