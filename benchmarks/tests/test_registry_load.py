"""The load of registries: what it asks, what it takes for an answer, and what it counts."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import active_children
from pathlib import Path

import pytest

from benchmarks.registry_load import _requests
from benchmarks.registry_load._crew import run_crew
from benchmarks.registry_load._plan import MIB, QUICK, Amount, Framing
from benchmarks.registry_load._plot import plot
from benchmarks.registry_load._requests import Method
from benchmarks.registry_load._rounds import Outcome
from benchmarks.registry_load._rows import MEMORY, ROWS
from benchmarks.registry_load._table import compare
from benchmarks.registry_load._transfers import LargeBody
from benchmarks.registry_load._watch import cpu_seconds, pss_bytes
from benchmarks.registry_load._wire import Connection, LoadError

ROOT = Path(__file__).parents[2]
ROW = {row.name: row for row in ROWS}


@pytest.mark.service("docker-registry", "h2load", "ab")
def test_a_quick_run_measures_every_row_on_both_servers(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.registry_load", "--quick"]
    against = ["--against", "docker-registry", "--directory", str(tmp_path), "--json", str(path)]
    done = subprocess.run([*command, *against], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {row["row"]: row for row in json.loads(path.read_text())["rows"]}
    assert rows.keys() == ROW.keys()
    for row in rows.values():
        for name in ("ours", "docker-registry"):
            [outcome] = row[name]
            assert outcome["figure"] > 0 and outcome["operations"] > 0
            assert outcome["peak"] > MIB
        [ratio] = row["ratios"]
        assert ratio == row["ours"][0]["figure"] / row["docker-registry"][0]["figure"]
        assert f"{row['v3_ratio']:.2f}" in done.stdout
    assert rows["push-1"]["ours"][0]["operations"] == QUICK.pushes[0]
    assert sum(row["ours"][0]["server_cpu"] for row in rows.values()) > 0
    # Neither data nor servers stay behind.
    assert [*tmp_path.iterdir()] == [path]


class _Site(ThreadingHTTPServer):
    """Answers every request alike, and remembers it."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Site
    protocol_version = "HTTP/1.1"
    # Head and body together: two small packets would wait for each other.
    wbufsize = -1

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers["accept"]))
        self.send_response(self.server.status)
        self.send_header("content-length", "5")
        if self.request_version == "HTTP/1.0":
            self.send_header("connection", "keep-alive")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"hello")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def site(status: int = 200) -> Iterator[_Site]:
    with _Site(status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(method: Method, url: str) -> int:
    warm: list[None] = []
    load = _requests.load(
        method, f"{url}/a/b", {"Accept": "text/x"}, QUICK, lambda: warm.append(None)
    )
    assert warm == [None]
    assert load.seconds > 0
    return load.operations


@pytest.mark.service("h2load", "ab")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_generator_asks_for_what_the_row_says(method: Method) -> None:
    with site() as server:
        assert ask(method, server.url) == QUICK.requests.count
        assert set(server.asked) == {(method, "/a/b", "text/x")}
        assert QUICK.requests.count is not None
        assert len(server.asked) >= QUICK.requests.count + QUICK.warm_up


@pytest.mark.service("h2load", "ab")
@pytest.mark.parametrize("status", [302, 404, 500])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_that_is_no_success_ends_the_run(method: Method, status: int) -> None:
    with site(status) as server, pytest.raises(LoadError, match="not all answers"):
        ask(method, server.url)


def test_a_generator_that_tells_nothing_is_an_error() -> None:
    with pytest.raises(LoadError, match="did not say"):
        _requests.read_h2load("finished in 1s, 5 req/s")


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_large_bodies_differ_and_have_the_digest_that_is_told(framing: Framing) -> None:
    plan = replace(QUICK, large_bytes=3 * 32 * 1024 + 5, framing=framing)
    large = LargeBody(plan)
    assert ("transfer-encoding" in large.headers) == (framing == "chunked")
    digests = set()
    for _ in range(2):
        parts, digest = large.new()
        data = b"".join(parts)
        if framing == "chunked":
            data = _without_chunks(data)
        assert len(data) == plan.large_bytes
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        digests.add(digest)
    assert len(digests) == 2


def _without_chunks(data: bytes) -> bytes:
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        whole, end, data = whole + data[:count], data[count : count + 2], data[count + 2 :]
        assert end == b"\r\n"
        if not count:
            assert not data
            return whole


def test_a_client_that_fails_ends_the_others() -> None:
    def start(number: int) -> Callable[[], None]:
        if number == 1:
            raise ValueError("no connection")
        return lambda: None

    with pytest.raises(LoadError, match=r"no connection|another client failed"):
        run_crew(start, 3, Amount(seconds=30), lambda: None)
    assert not active_children()


def test_a_crew_counts_what_all_did_after_warming_up() -> None:
    begun: list[None] = []
    load = run_crew(lambda number: lambda: None, 3, Amount(count=7), lambda: begun.append(None))
    assert load.operations == 21
    assert begun == [None]
    assert not active_children()


def test_an_answer_of_another_status_names_request_and_answer() -> None:
    with site(404) as server, Connection(server.url) as connection:
        with pytest.raises(LoadError, match=r"GET /x: answered 404, not 200: hello"):
            connection.expect(200, "GET", "/x")
        # It was read to its end, so the connection is good for more.
        connection.expect(404, "HEAD", "/x")
        connection.expect(404, "GET", f"{server.url}/y?z=1")
        assert [path for _, path, _ in server.asked] == ["/x", "/x", "/y?z=1"]


def test_a_path_in_the_url_comes_before_every_target_once() -> None:
    with site() as server, Connection(f"{server.url}/base/") as connection:
        for target in ("/x", "/base/x", f"{server.url}/base/x"):
            connection.expect(200, "GET", target)
        assert {path for _, path, _ in server.asked} == {"/base/x"}


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(LoadError, match=r"http://127\.0\.0\.1:1: "):
        Connection("http://127.0.0.1:1")


@contextmanager
def talking(code: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends; it says when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process


BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


def test_cpu_counts_children_that_run_and_those_that_have_ended() -> None:
    ended = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])\n"
    burning = f"{BURN}print('ready', flush=True); input()"
    runs = f"subprocess.run([sys.executable, '-c', {burning!r}])"
    with talking(ended + runs) as process:
        # Each of them to less than two ticks.
        assert cpu_seconds(process.pid) >= 0.5


def test_memory_counts_the_whole_tree() -> None:
    child = "kept = b'x' * (32 << 20); print('ready', flush=True); input()"
    parent = (
        "import subprocess, sys; kept = b'y' * (32 << 20)\n"
        f"subprocess.run([sys.executable, '-c', {child!r}])"
    )
    with talking(parent) as process:
        assert 64 * MIB <= pss_bytes(process.pid) < 128 * MIB


def outcomes(*figures: float) -> list[Outcome]:
    return [Outcome(figure, 1, 1.0, 0.0, 0.0, 0) for figure in figures]


def test_rounds_are_compared_one_by_one() -> None:
    # The second round was slow for both.
    compared = compare(ROW["v2"], outcomes(200, 20, 180), outcomes(10, 1, 10))
    assert compared.ratios == [20, 20, 18]
    assert compared.v3_ratio == 20 / ROW["v2"].v3
    assert compared.holds


@pytest.mark.parametrize(("share", "holds"), [(0.74, True), (0.76, False)])
def test_of_memory_less_is_better(share: float, holds: bool) -> None:
    row = ROW[MEMORY]
    assert compare(row, outcomes(share * row.v3), outcomes(1)).holds is holds


@pytest.mark.parametrize(("factor", "holds"), [(1.19, False), (1.21, True)])
def test_of_speed_more_is_better(factor: float, holds: bool) -> None:
    row = ROW["v2"]
    assert compare(row, outcomes(factor * row.v3), outcomes(1)).holds is holds


def test_the_picture_has_every_row() -> None:
    rows = [
        (row, row.title(QUICK), compare(row, outcomes(2.0, 9.0), outcomes(1, 1))) for row in ROWS
    ]
    picture = plot(rows, "a < b")
    ElementTree.fromstring(picture)
    assert "a &lt; b" in picture
    for _, title, _ in rows:
        assert title in picture
    assert len(re.findall("<circle", picture)) == 2 * len(ROWS)
