"""`registry user`: a password file is changed whole, and tells nobody a password."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest
from storagedriver_registry.auth.htpasswd_file import parse_htpasswd
from storagedriver_registry.auth.htpasswd_users import UserError, add_user, list_users, remove_user

from registry.tests.processes import REGISTRY


def user(*arguments: str | Path, password: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REGISTRY, "user", *arguments],
        input=password,
        capture_output=True,
        text=True,
        timeout=60,
    )


def fits(path: Path, name: str, password: str) -> bool:
    return bcrypt.checkpw(password.encode(), parse_htpasswd(path.read_bytes())[name.encode()])


def test_user_is_added_replaced_listed_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "users"
    added = user("add", path, "alice", "--password-stdin", password="wonderland\n")
    assert (added.returncode, added.stdout) == (0, "alice was added\n")
    assert fits(path, "alice", "wonderland")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    user("add", path, "bob", "--password-stdin", "--cost", "4", password="builder")
    changed = user("add", path, "alice", "--password-stdin", password="looking-glass\r\n")
    assert changed.stdout == "alice has another password now\n"
    assert fits(path, "alice", "looking-glass")
    assert fits(path, "bob", "builder")
    assert user("list", path).stdout == "alice\nbob\n"
    assert user("remove", path, "alice").stdout == "alice was removed\n"
    assert user("list", path).stdout == "bob\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["users"]


def test_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [REGISTRY, "user", "add", str(tmp_path / "users"), "alice"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    asked = 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            chunk = os.read(ours, 1000)
        except OSError:  # the other end is closed
            break
        shown += chunk
        if shown.count(b": ") > asked:
            asked += 1
            os.write(ours, b"wonderland\n")
    os.close(ours)
    assert process.wait(60) == 0, shown
    assert asked == 2
    assert b"wonderland" not in shown
    assert fits(tmp_path / "users", "alice", "wonderland")


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("a:b", "x", "has no colon"),
        ("#a", "x", "does not begin with #"),
        (" a", "x", "a user's name"),
        ("a\nb", "x", "no control characters"),
        ("a", "", "a password is not empty"),
        ("a", "x" * 73, "bcrypt takes 72 bytes"),
        ("a", "ü" * 37, "bcrypt takes 72 bytes"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(
    tmp_path: Path, name: str, password: str, message: str
) -> None:
    path = tmp_path / "users"
    refused = user("add", path, name, "--password-stdin", password=password)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not path.exists()


def test_faults_are_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "users"
    missing = user("list", path)
    assert (missing.returncode, missing.stderr) == (1, f"{path}: No such file or directory\n")
    path.write_text("alice:x\nconfidential\n")
    for malformed in (user("list", path), user("remove", path, "alice")):
        assert malformed.returncode == 1
        assert malformed.stderr == f"{path}: line 2 is not of the form USER:HASH\n"
    add = user("add", path, "bob", "--password-stdin", password="builder")
    assert add.returncode == 1
    assert path.read_text() == "alice:x\nconfidential\n"
    nowhere = user("add", tmp_path / "no" / "users", "bob", "--password-stdin", password="b")
    assert nowhere.returncode == 1
    assert "No such file" in nowhere.stderr


def test_user_that_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add_user(path, "alice", "wonderland", cost=4)
    with pytest.raises(UserError, match="no user 'bob'"):
        remove_user(path, "bob")
    assert list_users(path) == ["alice"]


def test_comments_and_other_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# users of the registry\n\ncarol:{SHA}x\nalice:old\n#alice:older\n")
    assert add_user(path, "alice", "wonderland", cost=4)
    lines = path.read_text().splitlines()
    assert lines[:4] == ["# users of the registry", "", "carol:{SHA}x", "#alice:older"]
    assert lines[4].startswith("alice:$2b$04$")


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "users"
    link.symlink_to(tmp_path / "real" / "users")
    add_user(link, "alice", "wonderland", cost=4)
    assert link.is_symlink()
    assert list_users(tmp_path / "real" / "users") == ["alice"]


def test_changes_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "users"
    names = [f"user{number:02}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_user(path, name, "password", cost=4), names))
    assert list_users(path) == names
    assert [entry.name for entry in tmp_path.iterdir()] == ["users"]
