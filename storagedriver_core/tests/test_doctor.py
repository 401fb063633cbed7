"""`storagedriver doctor`: what it finds, what it says, and that it leaves nothing."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient

from servers._ports import Ports
from servers.azurite import Azurite
from servers.seaweedfs import SeaweedFS
from servers.strict_gcs import StrictGcs
from storagedriver_core.examination._signed import fetch
from storagedriver_core.tests import doctor_plugin
from storagedriver_core.tests.conftest import Site
from storagedriver_core.tests.test_cli import Command

STEPS = [
    "configuration",
    "open",
    "identity",
    "check",
    "list",
    "list uploads",
    "write",
    "read",
    "signed URL",
    "delete",
    "create only",
    "upload",
    "clock",
    "capabilities",
]
WRITING = {"write", "delete", "create only", "upload", "clock"}
PLUGIN = "from storagedriver_core.tests.doctor_plugin import *\n"


class Doctor:
    """Runs `storagedriver doctor` in this process."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.root = command.root

    def configure(self, driver: str, parameters: Mapping[str, Any], **others: Any) -> None:
        storage = {"driver": driver, "parameters": dict(parameters), **others}
        text = yaml.safe_dump({"storage": storage}, sort_keys=False)
        self.command.config.write_text(text)

    def examine(self, *options: str, code: int) -> dict[str, dict[str, Any]]:
        """Give the findings by step; each step may end once."""
        done = self.command("doctor", str(self.command.config), "--json", *options)
        assert (done.code, done.error) == (code, "")
        findings = [json.loads(line) for line in done.out.splitlines()]
        steps = [finding["step"] for finding in findings]
        assert len(set(steps)) == len(steps)
        return {finding["step"]: finding for finding in findings}


@pytest.fixture
def doctor(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Doctor:
    made = Command(tmp_path, monkeypatch, capfdbinary)
    made.root.mkdir()
    return Doctor(made)


@pytest.fixture
def odd(site: Site) -> None:
    """The middleware `odd`, installed."""
    site.install("odd-middleware", PLUGIN)


def results(findings: Mapping[str, dict[str, Any]], result: str) -> set[str]:
    return {step for step, finding in findings.items() if finding["result"] == result}


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


# Stores that are well ----------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["inmemory", "filesystem"])
def test_store_that_is_well(doctor: Doctor, driver: str) -> None:
    if driver == "inmemory":
        doctor.configure("inmemory", {})
    findings = doctor.examine(code=0)
    assert list(findings) == STEPS
    assert results(findings, "left out") == {"signed URL"}
    assert results(findings, "failed") == set()
    assert findings["capabilities"]["facts"]["put_if_absent"] is True
    assert files_below(doctor.root) == []


def test_plain_lines_for_people(doctor: Doctor) -> None:
    done = doctor.command("doctor", str(doctor.command.config))
    lines = done.out.decode().splitlines()
    assert (done.code, done.error) == (0, "")
    assert re.match(r"ok +configuration +.*storage.yml: driver 'filesystem'$", lines[0])
    assert any(re.match(r"left out +signed URL +sign_get is not declared$", one) for one in lines)
    assert f"root_directory: {doctor.root}" in done.out.decode()


def test_what_is_there_stays(doctor: Doctor) -> None:
    doctor.command.ok("put", doctor.command.file("local", b"data"), "/mine", "-c", config(doctor))
    findings = doctor.examine(code=0)
    assert findings["list"]["detail"] == "1 entry in /"
    assert doctor.command.ok("cat", "/mine", "-c", config(doctor)) == b"data"
    assert len(files_below(doctor.root)) == 1


def config(doctor: Doctor) -> str:
    return str(doctor.command.config)


def test_read_only_changes_nothing(doctor: Doctor) -> None:
    doctor.command.ok("put", doctor.command.file("local", b"data"), "/mine", "-c", config(doctor))
    before = {path: path.lstat().st_mtime_ns for path in doctor.root.rglob("*")}
    findings = doctor.examine("--read-only", code=0)
    assert results(findings, "left out") >= WRITING - {"delete"}
    assert findings["read"]["detail"] == "4 bytes of /mine"
    assert {path: path.lstat().st_mtime_ns for path in doctor.root.rglob("*")} == before


def test_terminal_has_colours_and_a_pipe_has_none(doctor: Doctor) -> None:
    shown = run_in_terminal(["doctor", str(doctor.command.config)])
    assert b"\x1b[32mok" in shown
    assert b"capabilities" in shown
    assert b"\x1b" not in doctor.command("doctor", str(doctor.command.config)).out


def run_in_terminal(arguments: list[str]) -> bytes:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200", "NO_COLOR": ""}
    with subprocess.Popen(
        [sys.executable, "-m", "storagedriver_core.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the last of them has closed it
            while select.select([ours], [], [], 30)[0] and (data := os.read(ours, 65536)):
                shown += data
        os.close(ours)
    assert process.returncode == 0, shown
    return shown


# What is missing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "storage:\n  driver: filesystem\n  parameters: {rootdirectry: /x}\n",
            "storage.yml:3: storage.parameters.rootdirectry: unknown key",
        ),
        ("storage:\n  driver: nope\n", "storage.yml:2: storage.driver: unknown driver 'nope'"),
        ("storage: [", "storage.yml:1: "),
    ],
)
def test_fault_of_the_file_is_named_with_its_line(doctor: Doctor, text: str, message: str) -> None:
    doctor.command.config.write_text(text)
    findings = doctor.examine(code=2)
    assert list(findings) == ["configuration"]
    found = findings["configuration"]
    assert message in "\n".join([found["detail"], *found.get("help", ())])


def test_missing_file_is_named(doctor: Doctor) -> None:
    done = doctor.command("doctor", "/no.yml")
    assert done.code == 2
    assert b"failed    configuration" in done.out
    assert b"/no.yml: No such file or directory" in done.out


def test_missing_directory_is_named_with_its_key(doctor: Doctor) -> None:
    missing = str(doctor.root / "missing")
    doctor.configure("filesystem", {"root_directory": missing, "create": False})
    findings = doctor.examine(code=1)
    assert findings["open"]["error"] == "ConfigurationError"
    (line,) = findings["open"]["help"]
    assert line.startswith(f'storage.parameters.root_directory: "{missing}"  # ')
    assert line.endswith("storage.yml:4")
    assert results(findings, "left out") >= {"check", "list", "write", "upload"} - {"check"}
    assert findings["list"]["detail"] == "the driver is not open"
    assert not Path(missing).exists()


def test_directory_that_cannot_be_written(doctor: Doctor) -> None:
    doctor.root.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        done = subprocess.run(
            [*COMMAND, "doctor", str(doctor.command.config), "--json"],
            capture_output=True,
            preexec_fn=bow_to_permissions,
        )
    finally:
        doctor.root.chmod(stat.S_IRWXU)
    assert (done.returncode, done.stderr) == (1, b"")
    findings = {one["step"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert results(findings, "failed") == {"write", "create only", "upload", "clock"}
    assert results(findings, "ok") >= {"open", "check", "list", "list uploads", "capabilities"}
    assert findings["write"]["error"] == "PermissionDeniedError"
    needed, who = findings["write"]["help"]
    assert needed == (
        "needs the permission to write a file: write and search (wx) on the root directory and on "
        "what is below it"
    )
    assert who == f"principal: uid {os.geteuid()}, gid {os.getegid()}"


COMMAND = [sys.executable, "-m", "storagedriver_core.cli"]


def bow_to_permissions() -> None:
    """Let permissions of files hold for root too, in this process and what it runs."""
    drop_from_bounding_set, override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, override, 0, 0, 0)


def test_step_that_does_not_end_is_ended_and_the_others_are_taken(
    doctor: Doctor, odd: None
) -> None:
    oddity = [{"odd": {"hang_in": "open_reader"}}]
    # On a busy disk another step may take longer than the first of them.
    for seconds in ("0.3", "3", "30"):
        root = doctor.root / seconds
        doctor.configure("filesystem", {"root_directory": str(root)}, middleware=oddity)
        findings = doctor.examine("--timeout", seconds, code=1)
        if results(findings, "failed") == {"read"}:
            break
    assert results(findings, "failed") == {"read"}
    assert findings["read"]["error"] == "OperationTimeoutError"
    assert findings["read"]["detail"] == f"no answer in {seconds} s"
    assert findings["upload"]["result"] == "ok"
    assert files_below(root) == []


def test_nothing_more_is_asked_of_a_store_that_does_not_answer(doctor: Doctor, odd: None) -> None:
    oddity = [{"retry": {}}, {"odd": {"fail_in": "check"}}]
    doctor.configure("filesystem", {"root_directory": str(doctor.root)}, middleware=oddity)
    doctor_plugin.FAILED.clear()
    findings = doctor.examine(code=1)
    assert findings["check"]["error"] == "UnavailableError"
    assert findings["list"]["detail"] == "the store cannot be used"
    assert doctor_plugin.FAILED == ["check"]  # and nothing was repeated


def test_store_that_takes_a_second_file_is_found(doctor: Doctor, odd: None) -> None:
    oddity = [{"odd": {"forget_conditions": True}}]
    doctor.configure("filesystem", {"root_directory": str(doctor.root)}, middleware=oddity)
    findings = doctor.examine(code=1)
    assert results(findings, "failed") == {"create only"}
    assert "storage.capabilities.put_if_absent: false" in findings["create only"]["help"][0]
    assert files_below(doctor.root) == []


def test_store_that_gives_other_bytes_is_found(doctor: Doctor, odd: None) -> None:
    doctor.configure(
        "filesystem", {"root_directory": str(doctor.root)}, middleware=[{"odd": {"spoil": True}}]
    )
    findings = doctor.examine(code=1)
    assert findings["read"]["detail"] == "other bytes come back than were written"
    assert files_below(doctor.root) == []


def test_probe_that_cannot_be_deleted_is_named(doctor: Doctor, odd: None) -> None:
    oddity = [{"odd": {"fail_in": "delete"}}]
    doctor.configure("filesystem", {"root_directory": str(doctor.root)}, middleware=oddity)
    done = doctor.command("doctor", config(doctor))
    assert done.code == 1
    left = sorted(path.name for path in files_below(doctor.root))
    assert len(left) == 2
    for name in left:
        assert f"/{name}: it may be there still; delete it by hand" in done.out.decode()


def test_clock_that_is_wrong_is_found(doctor: Doctor, odd: None) -> None:
    oddity = [{"odd": {"seconds_ahead": 1000}}]
    doctor.configure("filesystem", {"root_directory": str(doctor.root)}, middleware=oddity)
    findings = doctor.examine(code=1)
    assert re.match(
        r"the store's is 1000\.\d s ahead of ours: it says 20", findings["clock"]["detail"]
    )


def test_interrupt_leaves_nothing(tmp_path: Path, site: Site) -> None:
    site.install("odd-middleware", PLUGIN)
    root, file = tmp_path / "store", tmp_path / "storage.yml"
    parameters = {"root_directory": str(root)}
    oddity = [{"odd": {"hang_in": "open_reader"}}]
    storage = {"driver": "filesystem", "parameters": parameters, "middleware": oddity}
    file.write_text(yaml.safe_dump({"storage": storage}))
    process = subprocess.Popen(
        [*COMMAND, "doctor", str(file), "--timeout", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(site.folder), "PYTHONWARNINGS": "error"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    with process:
        try:
            assert process.stdout is not None
            while b"write" not in process.stdout.readline():
                assert process.poll() is None
            assert files_below(root) != []
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, error
    assert b"Traceback" not in error
    assert files_below(root) == []


# Stores behind a network -------------------------------------------------------------------------


@pytest.fixture
def s3(seaweedfs: SeaweedFS, tmp_path: Path) -> dict[str, Any]:
    """Parameters of an empty bucket."""
    bucket = re.sub("[^a-z0-9]+", "-", f"doctor-{time.time_ns()}")
    seaweedfs.create_bucket(bucket)
    return {
        "bucket": bucket,
        "preset": "seaweedfs",
        "endpoint": seaweedfs.url,
        "region": seaweedfs.region,
        "access_key": seaweedfs.access_key,
        "secret_key": seaweedfs.secret_key,
    }


def test_s3_that_is_well(doctor: Doctor, s3: dict[str, Any], seaweedfs: SeaweedFS) -> None:
    doctor.configure("s3", s3)
    findings = doctor.examine(code=0)
    assert list(findings) == STEPS
    assert results(findings, "ok") == set(STEPS)
    facts = findings["identity"]["facts"]
    assert facts["credentials"] == "configuration"
    assert (facts["endpoint"], facts["bucket"]) == (seaweedfs.url, s3["bucket"])
    assert findings["signed URL"]["detail"].startswith(f"{seaweedfs.url} gives /storagedriver-")
    assert doctor.command.ok("ls", "-c", config(doctor)) == b""


def test_wrong_secret_says_who_was_refused(doctor: Doctor, s3: dict[str, Any]) -> None:
    doctor.configure("s3", s3 | {"secret_key": "a-word-nobody-sees"})
    findings = doctor.examine(code=1)
    assert findings["check"]["error"] == "AuthenticationError"
    assert "credentials: configuration" in findings["check"]["help"]
    origin = re.compile(r'storage\.parameters\.secret_key: "\*+"  # .*storage\.yml:9')
    assert any(origin.fullmatch(line) for line in findings["check"]["help"])
    assert any(line.startswith("this machine's clock says") for line in findings["check"]["help"])
    assert results(findings, "failed") == {"check"}
    for form in ((), ("--json",)):
        out = doctor.command("doctor", config(doctor), *form).out
        assert b"a-word-nobody-sees" not in out
        assert s3["access_key"].encode() not in out


def test_credentials_from_the_environment_are_told_so(
    doctor: Doctor, s3: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODYNOBODY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-word-nobody-sees")
    keys = {"access_key", "secret_key"}
    doctor.configure("s3", {name: value for name, value in s3.items() if name not in keys})
    findings = doctor.examine(code=1)
    assert findings["check"]["help"][:2] == ["credentials: environment", "access_key: AKIA…BODY"]


def test_missing_bucket_is_named_with_its_key(doctor: Doctor, s3: dict[str, Any]) -> None:
    doctor.configure("s3", s3 | {"bucket": "missing"})
    findings = doctor.examine(code=1)
    assert findings["check"]["error"] == "ConfigurationError"
    key = re.compile(r'storage\.parameters\.bucket: "missing"  # .*storage\.yml:4')
    assert any(key.fullmatch(line) for line in findings["check"]["help"])


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens as long as the test lasts."""
    ports = Ports(1)
    yield ports.numbers[0]
    ports.release()


def test_wrong_endpoint_is_named_with_its_key(
    doctor: Doctor, s3: dict[str, Any], closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    doctor.configure("s3", s3 | {"endpoint": url})
    findings = doctor.examine(code=1)
    assert findings["check"]["error"] == "UnavailableError"
    assert findings["check"]["help"][0] == f"endpoint: {url}"
    assert any(f'storage.parameters.endpoint: "{url}"' in one for one in findings["check"]["help"])
    assert results(findings, "failed") == {"check"}


def test_signed_url_that_clients_cannot_reach(
    doctor: Doctor, s3: dict[str, Any], closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    doctor.configure("s3", s3 | {"public_endpoint": url})
    findings = doctor.examine(code=1)
    assert results(findings, "failed") == {"signed URL"}
    assert findings["signed URL"]["detail"] == f"{url}: Connection refused"
    assert any(
        "storage.parameters.public_endpoint" in one for one in findings["signed URL"]["help"]
    )


@pytest.fixture
def gcs(strict_gcs: StrictGcs) -> dict[str, Any]:
    """Parameters of an empty bucket of the strict fake."""
    bucket = f"doctor-{time.time_ns()}"
    strict_gcs.create_bucket(bucket)
    return {"bucket": bucket, "endpoint": strict_gcs.url, "keyfile": str(strict_gcs.key_file)}


@pytest.fixture
def azure(azurite: Azurite) -> dict[str, Any]:
    """Parameters of an empty container."""
    name = f"doctor-{time.time_ns()}"
    with (
        ContainerClient.from_connection_string(azurite.connection_string, name) as container,
        # The SDK asks again when an answer is lost or late; nobody else has this name.
        contextlib.suppress(ResourceExistsError),
    ):
        container.create_container()
    return {
        "container": name,
        "endpoint": azurite.url,
        "account_name": azurite.account,
        "account_key": azurite.key,
    }


@pytest.mark.parametrize(("driver", "credentials"), [("gcs", "keyfile"), ("azure", "account key")])
def test_other_cloud_that_is_well(
    doctor: Doctor, request: pytest.FixtureRequest, driver: str, credentials: str
) -> None:
    parameters = request.getfixturevalue(driver)
    doctor.configure(driver, parameters)
    findings = doctor.examine(code=0)
    assert results(findings, "ok") == set(STEPS) - {"list uploads"}
    facts = findings["identity"]["facts"]
    assert facts["credentials"] == credentials
    assert facts["endpoint"] == parameters["endpoint"]
    assert doctor.command.ok("ls", "-c", config(doctor)) == b""


@pytest.mark.parametrize(("driver", "key"), [("gcs", "bucket"), ("azure", "container")])
def test_missing_store_of_another_cloud_is_named_with_its_key(
    doctor: Doctor, request: pytest.FixtureRequest, driver: str, key: str
) -> None:
    parameters = request.getfixturevalue(driver)
    doctor.configure(driver, parameters | {key: "missing"})
    findings = doctor.examine(code=1)
    assert findings["check"]["error"] == "ConfigurationError"
    line = re.compile(rf'storage\.parameters\.{key}: "missing"  # .*storage\.yml:4')
    assert any(line.fullmatch(one) for one in findings["check"]["help"])
    if driver == "azure":
        assert parameters["account_key"] not in json.dumps(findings)


def test_service_account_that_nobody_knows(
    doctor: Doctor, gcs: dict[str, Any], strict_gcs: StrictGcs
) -> None:
    doctor.configure("gcs", gcs | {"keyfile": str(strict_gcs.stranger_key_file)})
    findings = doctor.examine(code=1)
    assert findings["check"]["error"] == "AuthenticationError"
    line = re.compile(r'storage\.parameters\.keyfile: ".*stranger\.json"  # .*storage\.yml:6')
    assert any(line.fullmatch(one) for one in findings["check"]["help"])
    assert "PRIVATE KEY" not in json.dumps(findings)


def test_write_that_is_not_permitted_names_the_permission(
    doctor: Doctor, gcs: dict[str, Any], strict_gcs: StrictGcs
) -> None:
    doctor.configure("gcs", gcs)
    strict_gcs.control("read_only", on=True)
    try:
        findings = doctor.examine(code=1)
    finally:
        strict_gcs.control("read_only", on=False)
    assert results(findings, "failed") == {"write", "create only", "upload"}
    needed = findings["write"]["help"][0]
    assert needed.startswith("needs the permission to write a file: storage.objects.create")
    assert results(findings, "ok") >= {"check", "list", "clock"}


def test_account_key_that_is_wrong(doctor: Doctor, azure: dict[str, Any]) -> None:
    doctor.configure("azure", azure | {"account_key": "d3Jvbmc="})
    findings = doctor.examine(code=1)
    # Azurite answers AuthorizationFailure, where Azure has AuthenticationFailed.
    assert findings["check"]["error"] in ("PermissionDeniedError", "AuthenticationError")
    assert "credentials: account key" in findings["check"]["help"]
    assert "d3Jvbmc=" not in json.dumps(findings)


# A signed URL, as any client fetches it ----------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[str]:
    """The URL of a server that answers with the status that the path asks for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.partition("?")[0].strip("/")))
            self.send_header("content-length", "6")
            self.end_headers()
            self.wfile.write(b"signed")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_signed_url_is_fetched_and_never_repeated(answering: str) -> None:
    good = fetch(f"{answering}/200?signature=confidential", 6, 5)
    assert (good.body, good.status, good.fault, good.place) == (b"signed", 200, "", answering)
    refused = fetch(f"{answering}/403?signature=confidential", 6, 5)
    assert (refused.body, refused.status, refused.fault) == (b"", 403, "answers 403 Forbidden")
    assert "confidential" not in repr((good, refused))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", ""])
def test_what_is_no_url_for_http_is_not_fetched(url: str) -> None:
    assert fetch(url, 6, 5).fault == "no URL for an HTTP client"
