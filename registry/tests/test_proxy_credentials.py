"""Who a proxy is to its upstream, and who may pull from it."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from storagedriver_registry.cli import app
from storagedriver_registry.client.credentials import Credentials
from storagedriver_registry.proxy.credentials import ask_program
from storagedriver_registry.proxy.errors import UpstreamDeniedError
from typer.testing import CliRunner

from registry.tests.authentication import TokenServerProcess, write_users
from registry.tests.client import error_codes
from registry.tests.images import Images
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.upstreams import proxy_of, relaying

ALICE = ("alice", "wonderland")


@contextmanager
def guarded(folder: Path, kind: str) -> Iterator[ServerProcess]:
    """Run a registry that wants credentials."""
    folder.mkdir()
    users = write_users(folder / "users", dict([ALICE]))
    with ExitStack() as stack:
        auth: Mapping[str, object] = {"htpasswd": {"realm": "upstream", "path": str(users)}}
        if kind == "token":
            policy = {"users": {"alice": {"**": ["pull", "push"]}}}
            tokens = stack.enter_context(running(TokenServerProcess(folder, {"policy": policy})))
            auth = {"token": tokens.options(jwks=str(folder / "keys.json"))}
        server = stack.enter_context(running(our_server(folder, {"auth": auth})))
        yield server


def push_guarded(images: Images, upstream: ServerProcess, image: str) -> None:
    credentials = f"--dest-creds={':'.join(ALICE)}"
    images.copy(image, f"docker://{upstream.host}/team/image:v1", credentials)


@pytest.mark.service("skopeo", "umoci")
@pytest.mark.parametrize("kind", ["htpasswd", "token"])
def test_proxy_logs_in_upstream_and_clients_log_in_here(
    images: Images, tmp_path: Path, kind: str
) -> None:
    image = images.make("image", (1,))
    bob = ("bob", "confidential-here")
    users = write_users(tmp_path / "users", dict([bob]))
    auth = {"htpasswd": {"realm": "proxy", "path": str(users)}}
    log = {"level": "debug"}
    with ExitStack() as stack:
        upstream = stack.enter_context(guarded(tmp_path / "upstream", kind))
        push_guarded(images, upstream, image)
        relay = stack.enter_context(relaying(upstream.url))
        known = {"username": ALICE[0], "password": ALICE[1]}
        proxy = proxy_of(relay.url, tmp_path / "proxy", proxy=known, auth=auth, log=log)
        stack.enter_context(running(proxy))
        source = f"docker://{proxy.host}/team/image:v1"
        response = httpx.get(f"{proxy.url}/v2/team/image/manifests/v1")
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Basic realm="proxy"'
        assert not relay.requests
        images.copy(source, f"dir:{tmp_path / 'pulled'}", f"--src-creds={':'.join(bob)}")
        assert images.digest(f"dir:{tmp_path / 'pulled'}") == images.digest(image)
        sent = {headers.get("Authorization", "") for _, _, headers in relay.requests}
        assert httpx.BasicAuth(*bob)._auth_header not in sent
        for secret in (ALICE[1], bob[1], *sent - {""}):
            assert secret not in proxy.log

        wrong = {"username": ALICE[0], "password": "mistaken-password"}
        other = proxy_of(relay.url, tmp_path / "other", proxy=wrong)
        stack.enter_context(running(other))
        response = httpx.get(f"{other.url}/v2/team/image/manifests/v1")
        assert (response.status_code, error_codes(response)) == (403, ["DENIED"])
        assert "www-authenticate" not in response.headers
        assert "mistaken-password" not in other.log


PROGRAM = """\
#!{python}
import json, pathlib, sys
assert sys.argv[1:] == ["get"]
pathlib.Path({asked!r}).open("a").write(sys.stdin.read())
print(json.dumps({{"ServerURL": "", "Username": "alice", "Secret": "wonderland"}}))
"""


@pytest.mark.service("skopeo", "umoci")
def test_program_gives_the_credentials(images: Images, tmp_path: Path) -> None:
    with guarded(tmp_path / "upstream", "htpasswd") as upstream:
        push_guarded(images, upstream, images.make("image", (1,)))
        kept = asked_for_credentials(upstream, tmp_path / "kept", {})
        asked = asked_for_credentials(upstream, tmp_path / "asked", {"lifetime": "0s"})
        assert set(kept) == set(asked) == {upstream.host}
        assert len(kept) == 1 < len(asked)

        settings = {"exec": {"command": "/bin/false"}}
        with running(proxy_of(upstream.url, tmp_path / "refused", proxy=settings)) as proxy:
            response = httpx.get(f"{proxy.url}/v2/team/image/manifests/v1")
            assert (response.status_code, error_codes(response)) == (403, ["DENIED"])
        assert examined(tmp_path / "kept") == ("ok", f"{upstream.url} answers")
        assert examined(tmp_path / "refused")[0] == "failed"


def examined(folder: Path) -> tuple[str, str]:
    """Give what the doctor says of a proxy's upstream."""
    [config] = folder.glob("*.yml")
    done = CliRunner().invoke(app, ["doctor", str(config), "--json"])
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    [found] = [one for one in findings if one["step"] == "upstream"]
    return found["result"], found["detail"]


def asked_for_credentials(
    upstream: ServerProcess, folder: Path, settings: Mapping[str, object]
) -> list[str]:
    """Pull twice with the credentials of a program, and give what that was asked."""
    asked = folder.with_suffix(".txt")
    program = folder.with_suffix(".credentials program")
    program.write_text(PROGRAM.format(python=sys.executable, asked=str(asked)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    section = {"exec": {"command": f"'{program}'", **settings}}
    with running(proxy_of(upstream.url, folder, proxy=section)) as proxy:
        for _ in range(2):
            response = httpx.get(f"{proxy.url}/v2/team/image/manifests/v1")
            assert response.status_code == 200
        assert ALICE[1] not in proxy.log
    return asked.read_text().splitlines()


@pytest.mark.parametrize("status", [0, 1])
def test_program_may_have_ended_before_it_is_told_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    helper = tmp_path / "helper"
    helper.write_text(f'#!/bin/sh\necho \'{{"Username": "a", "Secret": "b"}}\'\nexit {status}\n')
    helper.chmod(0o755)
    start = asyncio.create_subprocess_exec

    async def started_and_over(*command: str, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **options)
        await process.wait()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", started_and_over)
    asking = ask_program([str(helper)], "registry.example")
    if status:
        with pytest.raises(UpstreamDeniedError, match="ended with status 1"):
            uvloop.run(asking)
    else:
        assert uvloop.run(asking) == Credentials("a", "b")
