"""Who the client is: challenges, tokens, and where secrets go."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from storagedriver_registry.client import (
    Credentials,
    CredentialsError,
    DeniedError,
    DigestMismatchError,
    DockerConfig,
    ErrorEntry,
    NotFoundError,
    RegistryClient,
    RegistryError,
    ResponseError,
    UnauthorizedError,
    errors,
)
from storagedriver_registry.client.challenges import parse_challenges
from storagedriver_registry.client.commands.failures import exit_code
from storagedriver_registry.client.retrying import Clock
from storagedriver_registry.client.tokens import Authenticator, joined

from registry.tests.client import sha256
from registry.tests.hostile import (
    FakeTime,
    HostileRegistry,
    failing,
    hostile,
    in_turn,
    sent,
    with_hostile,
)

ALICE = Credentials("alice", "wonderland")
DATA = os.urandom(100_000)
BLOB = f"/v2/a/blobs/{sha256(DATA)}"


def test_challenges_are_read_as_they_come() -> None:
    found = parse_challenges(
        [
            'Bearer realm="https://a/t?x=1,2",service="s \\"q\\"" , scope="repository:a:pull,push"',
            "Basic realm=r, Negotiate",
        ]
    )
    assert [one.scheme for one in found] == ["bearer", "basic", "negotiate"]
    assert found[0].parameters["realm"] == "https://a/t?x=1,2"
    assert found[0].parameters["service"] == 's "q"'
    assert found[0].scopes == {"repository:a:pull,push"}


def test_scopes_of_one_resource_are_joined() -> None:
    scopes = ["repository:a:pull", "repository:a:push,pull", "registry:catalog:*"]
    assert joined(scopes) == {"repository:a:pull,push", "registry:catalog:*"}


def guarded(registry: HostileRegistry, lifetime: int) -> list[Mapping[str, Any]]:
    """Let a registry want tokens, of which only the last one given holds; give what was asked."""
    asked: list[Mapping[str, Any]] = []
    realm = f'Bearer realm="{registry.url}/token",service="s",scope="repository:a:pull"'

    async def token(request: web.BaseRequest) -> web.StreamResponse:
        form = parse_qs((await request.read()).decode())
        asked.append({"form": form, "query": request.query, "headers": request.headers})
        return web.json_response({"token": f"t{len(asked)}", "expires_in": lifetime})

    async def blob(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer t{len(asked)}":
            return await failing(401, "UNAUTHORIZED", WWW_Authenticate=realm)(request)
        return await sent(DATA)(request)

    registry.on("GET", "/token", token)
    registry.on("POST", "/token", token)
    registry.on("GET", BLOB, blob)
    return asked


def test_token_is_fetched_once_and_renewed_before_it_runs_out() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        asked = guarded(registry, lifetime=100)
        blobs = client.repository("a").blobs
        for _ in range(3):
            assert await blobs.read(sha256(DATA)) == DATA
        assert len(asked) == 1
        assert asked[0]["query"]["service"] == "s"
        assert asked[0]["query"]["scope"] == "repository:a:pull"
        assert asked[0]["headers"]["Authorization"] == ALICE.basic()
        refused = len(registry.requests)
        time.now += 91
        assert await blobs.read(sha256(DATA)) == DATA
        # It was not tried with the old one.
        assert (len(asked), len(registry.requests)) == (2, refused + 2)

    with_hostile(test, credentials=ALICE)


def test_token_that_is_refused_in_the_middle_is_renewed() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        asked = guarded(registry, lifetime=300)
        blobs = client.repository("a").blobs
        assert await blobs.read(sha256(DATA)) == DATA
        asked.append({})  # the server has given another one meanwhile, and forgotten the first
        assert await blobs.read(sha256(DATA)) == DATA
        assert len(asked) == 3

    with_hostile(test, credentials=ALICE)


def test_many_requests_at_once_want_one_token() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        asked = guarded(registry, lifetime=300)
        blobs = client.repository("a").blobs
        found = await asyncio.gather(*(blobs.read(sha256(DATA)) for _ in range(8)))
        assert found == [DATA] * 8
        assert len(asked) == 1

    with_hostile(test)


def test_identity_token_is_exchanged() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        asked = guarded(registry, lifetime=300)
        assert await client.repository("a").blobs.read(sha256(DATA)) == DATA
        form = asked[0]["form"]
        assert (form["grant_type"], form["refresh_token"]) == (["refresh_token"], ["secret-one"])
        assert "Authorization" not in asked[0]["headers"]

    with_hostile(test, credentials=Credentials(identity_token="secret-one"))


@pytest.mark.parametrize(
    "about", [b'"expires_in": 1%s' % (b"0" * 400), b'"expires_in": 1e999', b'"refresh_token": [{}]']
)
def test_what_a_token_server_says_besides_the_token_may_make_no_sense(about: bytes) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("POST", "/token", sent(b'{"token": "t", %s}' % about))
        challenge = f'Bearer realm="{registry.url}/token"'
        challenged = failing(401, WWW_Authenticate=challenge)
        registry.on("GET", BLOB, in_turn(challenged, sent(DATA), challenged, sent(DATA)))
        for _ in range(2):
            assert await client.repository("a").blobs.read(sha256(DATA)) == DATA

    with_hostile(test, credentials=Credentials(identity_token="secret-one"))


@pytest.mark.parametrize("credentials", [None, Credentials(), ALICE], ids=["none", "empty", "all"])
@pytest.mark.parametrize("refuses", ["basic", "token", "registry"])
def test_refusal_says_whether_there_were_credentials(
    credentials: Credentials | None, refuses: str
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        bearer = f'Bearer realm="{registry.url}/token"'
        challenge = 'Basic realm="r"' if refuses == "basic" else bearer
        challenged = failing(401, WWW_Authenticate=challenge)
        registry.on("GET", BLOB, in_turn(challenged, failing(403)))
        if refuses == "registry":
            registry.on("GET", "/token", sent(b'{"token": "t"}'))
        else:
            registry.on("GET", "/token", failing(401))
        with pytest.raises((UnauthorizedError, DeniedError)) as caught:
            await client.repository("a").blobs.read(sha256(DATA))
        assert caught.value.login == ("" if credentials == ALICE else client.host)
        refused = f"(the credentials for {client.host} were refused, or do not allow it)"
        assert (refused in str(caught.value)) == (credentials == ALICE)

    with_hostile(test, credentials=credentials)


@pytest.mark.parametrize("credentials", [None, ALICE], ids=["none", "all"])
def test_refusal_of_who_asked_for_no_credentials_says_nothing_of_them(
    credentials: Credentials | None,
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        async with hostile() as store:
            store.on("GET", "/signed", failing(403))
            challenged = failing(401, WWW_Authenticate=f'Bearer realm="{registry.url}/token"')
            redirected = sent(b"", 307, Location=f"{store.url}/signed")
            registry.on("GET", "/token", sent(b'{"token": "t"}'))
            registry.on("GET", BLOB, in_turn(failing(403), challenged, redirected))
            for _ in range(2):
                with pytest.raises(DeniedError) as caught:
                    await client.repository("a").blobs.read(sha256(DATA))
                assert (caught.value.login, "credentials" in str(caught.value)) == ("", False)

    with_hostile(test, credentials=credentials)


def test_wrong_password_is_one_error_without_a_secret() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, failing(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="r"'))
        with pytest.raises(UnauthorizedError) as caught:
            await client.repository("a").blobs.read(sha256(DATA))
        assert len(registry.requests) == 2
        for text in (str(caught.value), repr(caught.value), repr(client), repr(ALICE)):
            assert "wonderland" not in text
            assert ALICE.basic().removeprefix("Basic ") not in text

    with_hostile(test, credentials=ALICE)


def test_password_is_not_sent_to_a_token_server_without_encryption() -> None:
    async def fetch(*_: object) -> bytes:
        raise AssertionError("it was asked")

    async def main() -> None:
        authenticator = Authenticator("registry.example", ALICE, fetch, Clock())
        challenge = parse_challenges(['Bearer realm="http://tokens.example/t"'])
        scopes = frozenset({"repository:a:pull"})
        assert await authenticator.learn(challenge, scopes, None)
        with pytest.raises(CredentialsError, match="without encryption"):
            await authenticator.authorization(scopes)

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [b"no", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nX: y"}', b"[" * 200_000],
)
def test_token_server_that_makes_no_sense_is_an_error(answer: bytes) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        guarded(registry, 300)
        registry.on("GET", "/token", sent(answer))
        with pytest.raises(RegistryError, match="token server"):
            await client.repository("a").blobs.read(sha256(DATA))

    with_hostile(test)


def test_token_server_that_is_down_is_asked_again_later_by_the_caller_alone() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        guarded(registry, 300)
        registry.on("GET", "/token", failing(503))
        with pytest.raises(ResponseError) as caught:
            await client.repository("a").blobs.read(sha256(DATA))
        assert exit_code(caught.value) == 6
        assert len(registry.asked("GET", "/token")) == 5

    with_hostile(test)


# Where credentials are kept --------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> DockerConfig:
    return DockerConfig(tmp_path / "docker" / "config.json")


def test_credentials_come_back_and_only_their_owner_reads_them(config: DockerConfig) -> None:
    config.store("r.example:5000", ALICE)
    config.store("docker.io", Credentials("bob", "b:c"))
    assert config.credentials("r.example:5000") == ALICE
    assert config.credentials("docker.io") == Credentials("bob", "b:c")
    assert config.credentials("other.example") is None
    assert stat.S_IMODE(config.path.stat().st_mode) == 0o600
    assert [path.name for path in config.path.parent.iterdir()] == ["config.json"]
    assert "https://index.docker.io/v1/" in json.loads(config.path.read_text())["auths"]
    assert config.erase("r.example:5000")
    assert not config.erase("r.example:5000")
    assert config.credentials("r.example:5000") is None


def test_what_else_is_in_the_file_stays(config: DockerConfig) -> None:
    config.path.parent.mkdir()
    others = {"auths": {"https://r.example/v1/": {"auth": "YTpi"}}, "psFormat": "x"}
    config.path.write_text(json.dumps(others))
    assert config.credentials("r.example") == Credentials("a", "b")
    config.store("o.example", ALICE)
    document = json.loads(config.path.read_text())
    assert document["psFormat"] == "x"
    assert set(document["auths"]) == {"https://r.example/v1/", "o.example"}


def test_credentials_of_a_namespace_are_not_those_of_its_host(config: DockerConfig) -> None:
    config.path.parent.mkdir()
    team = {"r.example/team": {"auth": "YTpi"}}
    config.path.write_text(json.dumps({"auths": team}))
    assert config.credentials("r.example") is None
    assert not config.erase("r.example")
    config.store("r.example", ALICE)
    assert config.credentials("r.example") == ALICE
    assert config.erase("r.example")
    assert json.loads(config.path.read_text())["auths"] == team


@pytest.mark.parametrize("old", ["https://r.example/v1/", "http://r.example", "r.example/v2/"])
def test_key_of_today_goes_before_old_ones(config: DockerConfig, old: str) -> None:
    config.path.parent.mkdir()
    auths = {old: {"auth": "YTpi"}}
    config.path.write_text(json.dumps({"auths": auths}))
    assert config.credentials("r.example") == Credentials("a", "b")
    config.path.write_text(json.dumps({"auths": {**auths, "r.example": {"auth": "YTpj"}}}))
    assert config.credentials("r.example") == Credentials("a", "c")
    assert config.erase("r.example")
    assert json.loads(config.path.read_text())["auths"] == {}


HELPER = """#!/bin/sh
read -r line
echo "$1 $line" >> "{log}"
case "$1 $line" in
  "get r.example") echo '{{"ServerURL": "r.example", "Username": "u", "Secret": "s3cret"}}' ;;
  "get t.example") echo '{{"Username": "<token>", "Secret": "s3cret"}}' ;;
  "get bad.example") echo 's3cret' ;;
  "get colon.example") echo '{{"Username": "u:s3cret", "Secret": "s3cret"}}' ;;
  store*|erase*) ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


def test_helpers_are_asked(
    config: DockerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-ours"
    helper.write_text(HELPER.format(log=tmp_path / "log"))
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config.path.parent.mkdir()
    settings = {"credHelpers": {"none.example": "missing"}, "credsStore": "ours"}
    config.path.write_text(json.dumps(settings))
    assert config.credentials("r.example") == Credentials("u", "s3cret")
    assert config.credentials("t.example") == Credentials(identity_token="s3cret")
    assert config.credentials("x.example") is None
    for host in ("bad.example", "colon.example"):
        with pytest.raises(CredentialsError) as caught:
            config.credentials(host)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(CredentialsError, match="docker-credential-missing"):
        config.credentials("none.example")
    config.store("r.example", ALICE)
    assert config.erase("r.example")
    stored = '{"ServerURL": "r.example", "Username": "alice", "Secret": "wonderland"}'
    asked = (tmp_path / "log").read_text().splitlines()
    assert asked[-3:] == [f"store {stored}", "get r.example", "erase r.example"]
    assert json.loads(config.path.read_text()) == settings


def test_many_may_log_in_at_once(config: DockerConfig) -> None:
    hosts = [f"r{number}.example" for number in range(12)]
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(lambda host: DockerConfig(config.path).store(host, ALICE), hosts))
    assert [config.credentials(host) for host in hosts] == [ALICE] * len(hosts)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"auths": {"r": {"auth": "%%"}}}',
        '{"auths": {"r": {"auth": "é%%"}}}',
        '{"auths": {"r": {"username": "a:%%", "password": "%%"}}}',
    ],
)
def test_file_that_makes_no_sense_is_an_error_that_quotes_nothing(
    config: DockerConfig, text: str
) -> None:
    config.path.parent.mkdir()
    config.path.write_text(text)
    with pytest.raises(CredentialsError) as caught:
        config.credentials("r")
    assert "%%" not in str(caught.value)


# Errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ResponseError(
            "no",
            host="h",
            status=404,
            errors=[ErrorEntry("BLOB_UNKNOWN", "m", {"a": 1})],
            retry_after=2.0,
        ),
        DigestMismatchError("no", expected="a", actual="b"),
    ],
)
def test_errors_survive_pickle(error: RegistryError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.__dict__, str(again)) == (type(error), error.__dict__, str(error))


def test_every_error_can_be_made_again_and_stands_in_the_tree() -> None:
    kinds = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, RegistryError)
    ]
    assert len(kinds) > 16
    tree = errors.__doc__ or ""
    assert [one.__name__ for one in kinds if one.__name__ not in tree] == []
    for kind in kinds:
        assert type(pickle.loads(pickle.dumps(kind("x", host="h")))) is kind
    assert issubclass(NotFoundError, ResponseError)
