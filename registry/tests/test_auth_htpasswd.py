"""The controller `htpasswd`."""

from __future__ import annotations

import asyncio
import logging
import stat
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
from storagedriver_registry.auth import AccessCheckError, htpasswd_file, recent
from storagedriver_registry.auth.htpasswd_file import HtpasswdFile
from storagedriver_registry.auth.htpasswd_users import add_user, remove_user
from storagedriver_registry.logs import LEVELS

from registry.tests.authentication import basic, with_registry, write_users

REALM = "the registry"
USERS = {"alice": "wonderland", "bob": "builder: yes", "ümit": "pässwörd"}


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return write_users(tmp_path / "users", USERS)


def section(path: Path) -> dict[str, Any]:
    return {"htpasswd": {"realm": REALM, "path": str(path)}}


def check(path: Path, test: Callable[[HtpasswdFile], Awaitable[None]]) -> None:
    async def main() -> None:
        file = HtpasswdFile(path)
        try:
            await test(file)
        finally:
            file.aclose()

    asyncio.run(main())


class Checks:
    """Counts the checks of bcrypt, and notes the threads that they were made in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[bytes] = []
        self.threads: set[str] = set()
        self._check = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self)

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self.hashes.append(hashed)
        self.threads.add(threading.current_thread().name)
        return self._check(password, hashed)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


@pytest.mark.parametrize("user", USERS)
def test_user_with_the_right_password_may_do_everything(users: Path, user: str) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        headers = basic(user, USERS[user])
        for path in ("/v2/", "/v2/_catalog"):
            assert (await http.get(path, headers=headers)).status_code == 200
        assert (await http.post("/v2/a/blobs/uploads/", headers=headers)).status_code == 202
        gone = await http.delete("/v2/a/manifests/v1", headers=headers)
        assert gone.status_code == 404

    with_registry(section(users), ask)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("mallory", "wonderland"),
        basic("", ""),
        {"authorization": "Basic"},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic YWxpY2U="},
        {"authorization": "Bearer YWxpY2U6d29uZGVybGFuZA=="},
        {"authorization": basic("alice", "wonderland")["authorization"].split()[1]},
    ],
)
def test_others_are_asked_for_their_password(users: Path, headers: dict[str, str]) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        response = await http.get("/v2/a/tags/list", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == f'Basic realm="{REALM}"'
        assert response.headers["docker-distribution-api-version"] == "registry/2.0"
        assert response.json() == {
            "errors": [
                {
                    "code": "UNAUTHORIZED",
                    "message": "authentication required",
                    "detail": [{"Type": "repository", "Class": "", "Name": "a", "Action": "pull"}],
                }
            ]
        }

    with_registry(section(users), ask)


def test_user_is_in_the_line_of_a_request(users: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        with caplog.at_level(logging.INFO):
            await http.get("/v2/", headers=basic("alice", "wonderland"))
            await http.get("/v2/")
            await http.get("/v2/", headers=basic("mallory", "wonderland"))

    write_users(users, {"alice": "wonderland"})
    with_registry(section(users), ask)
    lines = [text for text in caplog.messages if text.startswith("response completed ")]
    assert ["auth.user.name=alice" in line for line in lines] == [True, False, False]
    assert "wrong password, or no user 'mallory'" in caplog.text


def test_scheme_is_taken_in_any_case(users: Path) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        given = basic("alice", "wonderland")["authorization"].replace("Basic", "bAsIc")
        assert (await http.get("/v2/", headers={"authorization": given})).status_code == 200

    with_registry(section(users), ask)


def test_comments_and_other_hashes_are_nobody(
    tmp_path: Path, checks: Checks, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_users(tmp_path / "users", {"alice": "wonderland"})
    hashed = path.read_text().partition(":")[2].strip()
    others = "#carol:x\n\n  \ndave:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\neve:\nfrank:$2y$04$short\n"
    path.write_text(f"{others}alice:{hashed.replace('$2b$', '$2y$')}\n")

    async def ask(file: HtpasswdFile) -> None:
        assert await file.check(b"alice", b"wonderland")
        for user, password in [("#carol", "x"), ("dave", "password"), ("eve", ""), ("frank", "")]:
            assert not await file.check(user.encode(), password.encode())

    check(path, ask)
    assert "2 entries are no bcrypt hashes" in caplog.text
    assert "W6ph5Mm5" not in caplog.text


def test_long_password_is_cut_as_everywhere(tmp_path: Path) -> None:
    path = write_users(tmp_path / "users", {"alice": "x" * 72})

    async def ask(file: HtpasswdFile) -> None:
        assert await file.check(b"alice", b"x" * 200)
        assert not await file.check(b"alice", b"x" * 71)

    check(path, ask)


def test_unknown_user_costs_what_a_known_one_does(tmp_path: Path, checks: Checks) -> None:
    path = tmp_path / "users"
    path.write_bytes(b"alice:" + bcrypt.hashpw(b"wonderland", bcrypt.gensalt(6)) + b"\n")

    async def ask(file: HtpasswdFile) -> None:
        assert not await file.check(b"alice", b"wrong")
        assert not await file.check(b"mallory", b"wrong")

    check(path, ask)
    assert [hashed[:7] for hashed in checks.hashes] == [b"$2b$06$", b"$2b$06$"]


def test_decoy_takes_as_long_as_a_real_hash(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(8))
    content = htpasswd_file._Content((0, 0, 0), {b"alice": hashed})

    def seconds(user: bytes) -> float:
        started = time.thread_time()
        assert not htpasswd_file._fits(content.hash_of(user), b"wrong")
        return time.thread_time() - started

    # By turns, so that a busy machine slows both, and the best of as many as it takes.
    known = unknown = 1e9
    for number in range(100):
        known, unknown = min(known, seconds(b"alice")), min(unknown, seconds(b"mallory"))
        if number >= 4 and 0.6 < known / unknown < 1.6:
            break
    assert 0.6 < known / unknown < 1.6


# What is remembered --------------------------------------------------------------------------


def test_right_password_is_checked_once_a_while_and_off_the_loop(
    users: Path, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(recent, "monotonic", lambda: now[0])

    async def ask(file: HtpasswdFile) -> None:
        for _ in range(3):
            assert await file.check(b"alice", b"wonderland")
        assert len(checks.hashes) == 1
        now[0] += 61
        assert await file.check(b"alice", b"wonderland")
        assert len(checks.hashes) == 2

    check(users, ask)
    assert all(name.startswith("htpasswd") for name in checks.threads)


def test_wrong_password_is_checked_every_time_beside_a_right_one(
    users: Path, checks: Checks
) -> None:
    async def ask(file: HtpasswdFile) -> None:
        assert await file.check(b"alice", b"wonderland")
        for _ in range(2):
            assert not await file.check(b"alice", b"wrong")
        assert len(checks.hashes) == 3

    check(users, ask)


def test_colon_cannot_move_from_the_password_to_the_name(users: Path, checks: Checks) -> None:
    async def ask(file: HtpasswdFile) -> None:
        assert await file.check(b"bob", b"builder: yes")
        assert not await file.check(b"bob:builder", b" yes")
        assert not await file.check(b"bo", b"b:builder: yes")

    check(users, ask)


def test_requests_at_once_share_one_check_and_a_cancelled_one_spoils_none(
    users: Path, checks: Checks
) -> None:
    async def ask(file: HtpasswdFile) -> None:
        tasks = [asyncio.ensure_future(file.check(b"alice", b"wonderland")) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [True] * 19
        assert len(checks.hashes) == 1

    check(users, ask)


def test_passwords_that_wait_to_be_checked_are_bounded(
    users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Semaphore(0), threading.Event()

    def slow_check(password: bytes, hashed: bytes) -> bool:
        began.release()
        return go_on.wait(30)

    async def ask(http: httpx.AsyncClient) -> None:
        async def answer(password: str) -> tuple[int, bool]:
            answer = await http.get("/v2/", headers=basic("alice", password))
            return answer.status_code, "retry-after" in answer.headers

        waiting = [asyncio.ensure_future(answer(password)) for password in ("a", "b")]
        for _ in waiting:
            assert await asyncio.to_thread(began.acquire, timeout=30)
        assert await answer("c") == (503, True)
        go_on.set()
        assert await asyncio.gather(*waiting) == [(200, False)] * 2
        assert await answer("c") == (200, False)

    monkeypatch.setattr(bcrypt, "checkpw", slow_check)
    monkeypatch.setattr(htpasswd_file, "_MOST_WAITING", 2)
    with_registry(section(users), ask)


def test_no_credentials_are_kept(users: Path) -> None:
    async def ask(file: HtpasswdFile) -> None:
        assert await file.check(b"alice", b"wonderland")
        assert file._content is not None
        kept = repr(vars(file._content.recent))
        assert "wonderland" not in kept
        assert "alice" not in kept

    check(users, ask)


def test_oldest_entry_makes_room() -> None:
    kept: recent.Recent[int] = recent.Recent(2, 60)
    keys = [kept.key(str(number).encode()) for number in range(3)]
    for number, one in enumerate(keys):
        kept.put(one, number)
    assert [kept.get(one) for one in keys] == [None, 1, 2]
    assert recent.Recent[int](2, 60).key(b"x") != kept.key(b"x")


# The file changes ----------------------------------------------------------------------------


def test_changed_file_counts_at_once(users: Path) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        async def status(user: str, password: str) -> int:
            return (await http.get("/v2/", headers=basic(user, password))).status_code

        assert await status("alice", "wonderland") == 200
        add_user(users, "alice", "looking-glass", cost=4)
        assert await status("alice", "wonderland") == 401
        assert await status("alice", "looking-glass") == 200
        remove_user(users, "alice")
        assert await status("alice", "looking-glass") == 401
        assert await status("bob", USERS["bob"]) == 200

    with_registry(section(users), ask)


@pytest.mark.parametrize("fault", ["missing", "malformed", "directory"])
def test_file_that_cannot_be_read_lets_nobody_in(
    users: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = users.read_bytes()

    async def ask(http: httpx.AsyncClient) -> None:
        headers = basic("alice", "wonderland")
        assert (await http.get("/v2/", headers=headers)).status_code == 200
        users.unlink()
        if fault == "malformed":
            users.write_bytes(whole + b"confidential\n")
        if fault == "directory":
            users.mkdir()
        # As distribution answers.
        assert (await http.get("/v2/", headers=headers)).status_code == 400
        if fault == "directory":
            users.rmdir()
        users.write_bytes(whole)
        assert (await http.get("/v2/", headers=headers)).status_code == 200

    with_registry(section(users), ask)
    assert str(users) in caplog.text
    assert "confidential" not in caplog.text
    assert ("line 4" in caplog.text) == (fault == "malformed")


def test_unreadable_file_is_its_own_error(tmp_path: Path) -> None:
    async def ask(file: HtpasswdFile) -> None:
        with pytest.raises(AccessCheckError):
            await file.check(b"alice", b"wonderland")

    check(tmp_path / "none", ask)


# The first start -----------------------------------------------------------------------------


def test_missing_file_is_made_with_a_password_that_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "new" / "users"

    async def ask(http: httpx.AsyncClient) -> None:
        (record,) = [one for one in caplog.records if "password=" in one.getMessage()]
        assert record.levelno == max(LEVELS.values())  # whatever log.level is
        password = record.getMessage().partition("password=")[2]
        assert len(password) >= 32
        headers = basic("docker", password)
        assert (await http.get("/v2/", headers=headers)).status_code == 200

    with_registry(section(path), ask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    caplog.clear()
    content = path.read_bytes()

    async def nothing(http: httpx.AsyncClient) -> None:
        assert (await http.get("/v2/")).status_code == 401

    with_registry(section(path), nothing)
    assert path.read_bytes() == content
    assert "password=" not in caplog.text


def test_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    async def nothing(http: httpx.AsyncClient) -> None:
        raise NotImplementedError

    with pytest.raises(AssertionError, match=r"auth\.htpasswd\.path"):
        with_registry(section(tmp_path / "file" / "users"), nothing)
