"""What `docs/embedding-sync.md` shows, runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from storagedriver_core.tests.flask_files import EXAMPLE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "embedding-sync.md"

DJANGO = """
from django.conf import settings

settings.configure(STORAGE_CONFIG="storage.yml", DEFAULT_CHARSET="utf-8")
"""
REQUESTS = """
import io

from django.test import RequestFactory

make = RequestFactory()
print(file(make.put("/a", b"content" * 100_000), "a").status_code)
answer = file(make.get("/a"), "a")
print(answer.status_code, b"".join(answer) == b"content" * 100_000)
answer.close()
try:
    short = {"wsgi.input": io.BytesIO(b"content"), "CONTENT_LENGTH": "8"}
    file(make.put("/b", b"", **short), "b")
except Exception as error:
    print(type(error).__name__)
print([info.path for info in storage().walk("/")], list(storage().list_uploads()))
storage.close()
"""


FORKED = """
import os

from per_process import PerProcess

storage = PerProcess("storage.yml")
storage().put_content("/parent", b"content")
held = storage()
child = os.fork()
if child == 0:
    storage().put_content("/child", b"content")
    assert storage() is storage() is not held
    storage.close()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), storage() is held)
print([info.path for info in storage().walk("/")])
storage.close()
"""


WORKER_ENDS = """
import os
import runpy
from types import SimpleNamespace

import per_process
from files_app import create_app

app = create_app("storage.yml")
held = app.extensions["storage"]()
held.check()
settings = runpy.run_path(os.path.join(os.path.dirname(per_process.__file__), "gunicorn.conf.py"))
settings["worker_exit"](None, SimpleNamespace())
held.check()
settings["worker_exit"](None, SimpleNamespace(wsgi=app))
try:
    held.check()
except Exception as error:
    print(error)
"""


REFUSALS = """
import asyncio
import os
import threading

from storagedriver_core import ClosedError, SyncStorage, open_storage

storage = SyncStorage(open_storage("storage.yml"))


def refused(call):
    try:
        call()
    except ClosedError as error:
        print(error.message, flush=True)


async def in_a_loop():
    refused(storage.check)


def body():
    yield b"content"
    waits.set()
    closed.wait()
    yield b"late"


refused(storage.check)
waits, closed = threading.Event(), threading.Event()
with storage:
    asyncio.run(in_a_loop())
    child = os.fork()
    if child == 0:
        refused(storage.check)
        os._exit(0)
    os.waitpid(child, 0)
    putting = threading.Thread(target=refused, args=(lambda: storage.put_content("/a", body()),))
    putting.start()
    waits.wait()
closed.set()
putting.join()
refused(storage.check)
"""


def block(heading: str) -> str:
    """Give the Python of a section; that of the beginning for no heading."""
    text = PAGE.read_text(encoding="utf-8")
    sections = dict(
        re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", f"## \n{text}", re.MULTILINE | re.DOTALL)
    )
    (found,) = re.findall(r"^```python\n(.*?)^```", sections[heading], re.MULTILINE | re.DOTALL)
    code: str = found
    return code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "storage.yml").write_text(
        "storage: {driver: filesystem, parameters: {root_directory: data}}\n"
    )
    (tmp_path / "numbers.csv").write_text("1,2,3\n")
    return tmp_path


def ended(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    # From 3.12 on, Python warns of forks beside threads, which two of the pieces try.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    return subprocess.run(
        [sys.executable, *warnings, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE)},
        capture_output=True,
        text=True,
    )


def run(folder: Path, code: str) -> list[str]:
    done = ended(folder, code)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_first_script_does_what_it_says(folder: Path) -> None:
    assert run(folder, block("")) == [
        "b'2,3\\n'",
        "/reports/numbers 6",
        "/reports/today 19",
        "not there: /reports/tomorrow",
    ]


def test_writer_of_the_page_goes_on(folder: Path) -> None:
    assert run(folder, block("A writer, and what becomes of half of a file")) == ["True"]


def test_view_for_django_stores_and_serves(folder: Path) -> None:
    assert run(folder, DJANGO + block("Django") + REQUESTS) == [
        "201",
        "200 True",
        "ChecksumMismatchError",
        "['/a'] []",
    ]


def test_each_process_has_a_storage_of_its_own(folder: Path) -> None:
    assert run(folder, FORKED) == ["0 True", "['/child', '/parent']"]


def test_mistake_in_the_configuration_is_found_at_once(folder: Path) -> None:
    (folder / "storage.yml").write_text("storage: {driver: filesystem, parameters: {rot: data}}\n")
    code = "from per_process import PerProcess\nPerProcess('storage.yml')"
    done = ended(folder, code)
    assert done.returncode == 1
    assert "ConfigurationError: " in done.stderr


def test_worker_closes_its_storage_at_its_end(folder: Path) -> None:
    assert run(folder, WORKER_ENDS) == ["filesystem check: the storage is closed"]


def test_messages_of_the_page_are_those_that_come(folder: Path) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Where it refuses")[2]
    _, *told = re.findall(r"^\| ([^|]*?) \|", section, re.MULTILINE)
    assert sorted(told) == sorted(run(folder, REFUSALS))
