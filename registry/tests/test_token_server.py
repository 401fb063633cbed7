"""`registry token-server`: the protocol, the policy, the key."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from storagedriver_registry.auth.htpasswd_users import add_user, remove_user
from storagedriver_registry.auth.token_keys import libtrust_id, load_trusted_keys, thumbprint
from storagedriver_registry.token_server.policy import (
    Policy,
    ScopeError,
    parse_scopes,
)
from storagedriver_registry.token_server.running import make_token_server
from storagedriver_registry.token_server.settings import load_settings
from storagedriver_registry.token_server.signing import Signer, load_or_make_key

from registry.tests.authentication import (
    ISSUER,
    SERVICE,
    TokenServerProcess,
    basic,
    bearer,
    status_of,
    token_options,
    write_users,
)
from registry.tests.processes import REGISTRY, running
from storagedriver_core import ConfigurationError

ALICE = ("alice", "wonderland")
BOB = ("bob", "builder")
POLICY = {
    "anonymous_pull": True,
    "users": {
        "alice": {"team/**": ["pull", "push", "delete"], "all/*": ["*"]},
        "*": {"shared/*": ["pull", "push"]},
    },
    "catalog": ["alice"],
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServerProcess]:
    folder = tmp_path_factory.mktemp("tokens")
    write_users(folder / "users", dict([ALICE, BOB]))
    with running(TokenServerProcess(folder, {"policy": POLICY, "realm": "tokens of a test"})) as it:
        yield it


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TokenServerProcess]]:
    """Start a server of the test's own, on files in `tmp_path`."""
    started: list[TokenServerProcess] = []

    def begin(**settings: Any) -> TokenServerProcess:
        if not (tmp_path / "users").exists():
            write_users(tmp_path / "users", dict([ALICE, BOB]))
        server = TokenServerProcess(tmp_path, settings)
        server.start()
        started.append(server)
        return server

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.kill()


def read(server: TokenServerProcess, token: str) -> dict[str, Any]:
    """Give the claims of a token, verified by what the server has published."""
    keys = load_trusted_keys("", str(server.folder / "keys.json"))
    found = keys.find(jwt.get_unverified_header(token))
    claims: dict[str, Any] = jwt.decode(
        token, found.key, algorithms=sorted(found.algorithms), audience=SERVICE, issuer=ISSUER
    )
    return claims


def access(server: TokenServerProcess, who: tuple[str, str] | None, *scopes: str) -> list[Any]:
    answer = server.token(who, *scopes, service=SERVICE)
    return [
        (entry["type"], entry["name"], entry["actions"])
        for entry in read(server, answer["token"])["access"]
    ]


# GET -----------------------------------------------------------------------------------------


def test_token_of_a_user(tokens: TokenServerProcess) -> None:
    answer = tokens.token(
        ALICE, "repository:team/a:pull,push", service=SERVICE, account="alice", client_id="test"
    )
    assert answer["token"] == answer["access_token"]
    assert answer["expires_in"] == 300
    issued = time.strptime(answer["issued_at"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(issued) - time.mktime(time.gmtime())) < 60
    assert "refresh_token" not in answer
    claims = read(tokens, answer["token"])
    assert claims["sub"] == "alice"
    assert claims["exp"] - claims["iat"] == 300
    assert claims["access"] == [
        {"type": "repository", "name": "team/a", "actions": ["pull", "push"]}
    ]
    other = tokens.token(ALICE, service=SERVICE)
    assert read(tokens, other["token"])["jti"] != claims["jti"]
    assert read(tokens, other["token"])["access"] == []


@pytest.mark.parametrize(
    ("who", "scope", "actions"),
    [
        (ALICE, "repository:team/a/b:pull,push,delete", ["pull", "push", "delete"]),
        (ALICE, "repository:team/a:*", []),
        (ALICE, "repository:all/a:push,*", ["push", "*"]),
        (ALICE, "repository:all/a/b:push,pull", ["pull"]),
        (ALICE, "repository:team:push", []),
        (ALICE, "repository:teams/a:push", []),
        (ALICE, "repository:shared/x:push", ["push"]),
        (BOB, "repository:shared/x:push,pull,delete", ["push", "pull"]),
        (BOB, "repository:team/a:push,pull", ["pull"]),
        (None, "repository:shared/x:push,pull", ["pull"]),
        (None, "repository:any/thing/at/all:pull", ["pull"]),
        (ALICE, "registry:catalog:*", ["*"]),
        (BOB, "registry:catalog:*", []),
        (None, "registry:catalog:*", []),
        (ALICE, "registry:other:*", []),
        (ALICE, "somewhat:team/a:pull", []),
        (ALICE, "repository(plugin):team/a:push", ["push"]),
    ],
)
def test_policy_decides_which_actions_of_a_scope_are_in_the_token(
    tokens: TokenServerProcess, who: tuple[str, str] | None, scope: str, actions: list[str]
) -> None:
    found = access(tokens, who, scope)
    assert [entry[2] for entry in found] == ([actions] if actions else [])


def test_several_scopes(tokens: TokenServerProcess) -> None:
    first, second = "repository:team/a:pull,push", "repository:team/b:pull"
    both = [("repository", "team/a", ["pull", "push"]), ("repository", "team/b", ["pull"])]
    assert access(tokens, ALICE, first, second) == both
    assert access(tokens, ALICE, f"{first} {second}") == both


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        (basic("alice", "wrong"), {}),
        (basic("mallory", "wonderland"), {}),
        (bearer("x"), {}),
        ({"authorization": "Basic !"}, {}),
        (basic(*ALICE), {"account": "bob"}),
    ],
)
def test_wrong_credentials_get_no_token_not_even_an_anonymous_one(
    tokens: TokenServerProcess, headers: dict[str, str], params: dict[str, str]
) -> None:
    response = httpx.get(tokens.realm, params=params, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Basic realm="tokens of a test"'
    assert response.json()["errors"][0]["code"] == "UNAUTHORIZED"


def test_without_anonymous_pull_everybody_needs_a_password(
    start: Callable[..., TokenServerProcess],
) -> None:
    server = start(policy={"users": {"alice": {"**": ["pull"]}}})
    response = httpx.get(server.realm, params={"scope": "repository:a:pull"})
    assert response.status_code == 401
    assert access(server, ALICE, "repository:a:pull,push") == [("repository", "a", ["pull"])]
    assert access(server, BOB, "repository:a:pull") == []


@pytest.mark.parametrize(
    "params",
    [
        {"service": "another"},
        {"scope": "repository:a"},
        {"scope": "repository"},
        {"scope": "repository::pull"},
        {"scope": "repository:a:PULL"},
        {"scope": " ".join(["repository:a:pull"] * 101)},
    ],
)
def test_malformed_request_is_told(tokens: TokenServerProcess, params: dict[str, str]) -> None:
    response = httpx.get(tokens.realm, params=params)
    assert response.status_code == 400
    assert response.json()["errors"][0]["message"]


def test_other_paths_and_methods(tokens: TokenServerProcess) -> None:
    assert httpx.get(f"{tokens.url}/auth/token", auth=ALICE).status_code == 200
    assert httpx.get(f"{tokens.url}/v2/").status_code == 404
    response = httpx.delete(tokens.realm)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


# POST ----------------------------------------------------------------------------------------


def post(server: TokenServerProcess, **form: str) -> httpx.Response:
    return httpx.post(server.realm, data={"service": SERVICE, "client_id": "test", **form})


def of_password(server: TokenServerProcess, **form: str) -> httpx.Response:
    values = {"grant_type": "password", "username": ALICE[0], "password": ALICE[1], **form}
    return post(server, **values)


def test_token_for_a_password(tokens: TokenServerProcess) -> None:
    scope = "repository:team/a:pull,push repository:other:push registry:catalog:*"
    response = of_password(tokens, scope=scope)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer["scope"] == "repository:team/a:pull,push registry:catalog:*"
    assert "refresh_token" not in answer
    assert read(tokens, answer["access_token"])["sub"] == "alice"


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_refresh_token_gets_other_tokens(tokens: TokenServerProcess, way: str) -> None:
    if way == "GET":
        first = tokens.token(ALICE, service=SERVICE, offline_token="true")
    else:
        first = of_password(tokens, access_type="offline").json()
    refresh = first["refresh_token"]
    scope = "repository:team/a:push"
    for _ in range(2):
        response = post(tokens, grant_type="refresh_token", refresh_token=refresh, scope=scope)
        assert response.status_code == 200
        answer = response.json()
        assert answer["refresh_token"] == refresh
        claims = read(tokens, answer["access_token"])
        assert (claims["sub"], len(claims["access"])) == ("alice", 1)


def test_refresh_token_is_no_token_for_a_registry(tokens: TokenServerProcess) -> None:
    refresh = of_password(tokens, access_type="offline").json()["refresh_token"]
    section = {"token": token_options(jwks=str(tokens.folder / "keys.json"))}
    assert status_of(section, "/v2/", bearer(refresh)).status_code == 401
    good = of_password(tokens).json()["access_token"]
    assert status_of(section, "/v2/", bearer(good)).status_code == 200


def test_what_is_no_refresh_token_gets_nothing(tokens: TokenServerProcess) -> None:
    answer = of_password(tokens, access_type="offline").json()
    tampered = answer["refresh_token"].split(".")
    tampered[1] = answer["access_token"].split(".")[1]
    for text in ("", "x", answer["access_token"], ".".join(tampered), "é"):
        response = post(tokens, grant_type="refresh_token", refresh_token=text)
        assert response.status_code == 400
        assert response.json()["error"] == "invalid_grant"


def test_refresh_token_ends_with_the_password_and_with_the_user(
    start: Callable[..., TokenServerProcess], tmp_path: Path
) -> None:
    server = start(policy=POLICY)
    users = tmp_path / "users"

    def refreshed(text: str) -> int:
        return post(server, grant_type="refresh_token", refresh_token=text).status_code

    first = of_password(server, access_type="offline").json()["refresh_token"]
    assert refreshed(first) == 200
    add_user(users, "alice", "looking-glass", cost=4)
    assert refreshed(first) == 400
    second = of_password(server, password="looking-glass", access_type="offline").json()
    assert refreshed(second["refresh_token"]) == 200
    remove_user(users, "alice")
    assert refreshed(second["refresh_token"]) == 400
    # Of another server with another key.
    other = Signer(ec.generate_private_key(ec.SECP256R1()), "ES256", "thumbprint")
    content = jwt.decode(first, options={"verify_signature": False})
    assert refreshed(other.sign(content)) == 400


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"password": "wrong"}, "invalid_grant"),
        ({"username": "mallory"}, "invalid_grant"),
        ({"username": ""}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
    ],
)
def test_refused_form(tokens: TokenServerProcess, form: dict[str, str], error: str) -> None:
    response = of_password(tokens, **form)
    assert response.status_code == 400
    assert response.json()["error"] == error
    assert response.json()["error_description"]


def test_colon_cannot_move_from_the_password_to_the_name(
    start: Callable[..., TokenServerProcess], tmp_path: Path
) -> None:
    server = start(policy=POLICY)
    add_user(tmp_path / "users", "alice", "x:y", cost=4)
    for user, password, status in (("alice", "x:y", 200), ("alice:x", "y", 400)):
        assert of_password(server, username=user, password=password).status_code == status


def test_form_that_is_too_large_or_of_another_service(tokens: TokenServerProcess) -> None:
    assert of_password(tokens, scope="x" * 70_000).status_code == 413
    assert of_password(tokens, service="another").status_code == 400
    assert httpx.post(tokens.realm, content=b"\xff\xfe").status_code == 400


def test_nothing_secret_is_logged(tokens: TokenServerProcess) -> None:
    answer = of_password(tokens, access_type="offline").json()
    httpx.get(tokens.realm, auth=("alice", "a-wrong-password"))
    assert "path=/token status=200" in tokens.log
    for secret in ("wonderland", "a-wrong-password", answer["access_token"], "PRIVATE KEY"):
        assert secret not in tokens.log


# The key -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
@pytest.mark.parametrize("key_id", ["thumbprint", "libtrust"])
def test_registry_takes_the_tokens_by_either_file(
    start: Callable[..., TokenServerProcess], algorithm: str, key_id: str
) -> None:
    server = start(algorithm=algorithm, key_id=key_id, policy=POLICY)
    assert stat.S_IMODE((server.folder / "key.pem").stat().st_mode) == 0o600
    text = server.token(ALICE, "repository:team/a:pull", service=SERVICE)["token"]
    header = jwt.get_unverified_header(text)
    (member,) = json.loads((server.folder / "keys.json").read_text())["keys"]
    assert "d" not in member
    assert (header["alg"], header["kid"]) == (algorithm, member["kid"])
    named = {"thumbprint": thumbprint, "libtrust": libtrust_id}[key_id]
    assert header["kid"] == named(jwt.PyJWK(member).key)
    for option, file in (("jwks", "keys.json"), ("rootcertbundle", "key.crt")):
        section = {"token": server.options(**{option: str(server.folder / file)})}
        assert status_of(section, "/v2/team/a/tags/list", bearer(text)).status_code == 404


def test_key_stays_over_a_restart(start: Callable[..., TokenServerProcess], tmp_path: Path) -> None:
    server = start(policy=POLICY)
    answer = of_password(server, access_type="offline").json()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if "key" in path.name}
    assert server.stop() == 0
    (tmp_path / "keys.json").unlink()
    server.start()
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if "key" in path.name}
    assert before == after
    assert set(before) == {"key.pem", "key.crt", "keys.json"}
    refresh = answer["refresh_token"]
    assert post(server, grant_type="refresh_token", refresh_token=refresh).status_code == 200
    assert read(server, answer["access_token"])["sub"] == "alice"


def test_of_two_that_start_at_once_both_use_one_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first = load_or_make_key(path, "ES256")
    content = path.read_bytes()
    assert load_or_make_key(path, "ES256").private_numbers() == first.private_numbers()
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


def test_certificate_is_made_anew_for_another_key(tmp_path: Path) -> None:
    path = tmp_path / "key.crt"
    certificates = []
    for name in ("a", "a", "b"):
        key = load_or_make_key(tmp_path / f"{name}.pem", "ES256")
        Signer(key, "ES256", "thumbprint").publish_certificate(path, "x" * 100)
        certificates.append(path.read_bytes())
    assert certificates[0] == certificates[1] != certificates[2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


# The configuration ---------------------------------------------------------------------------

WHOLE = {"issuer": ISSUER, "service": SERVICE, "users": "users", "key": "key.pem"}


def write(folder: Path, settings: Mapping[str, Any]) -> Path:
    path = folder / "tokens.yml"
    path.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
    return path


def test_defaults_and_files_beside_the_configuration(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, {**WHOLE, "jwks": "/etc/keys.json"}))
    assert settings.address == ("127.0.0.1", 5001)
    assert settings.users == str(tmp_path / "users")
    assert settings.key == str(tmp_path / "key.pem")
    assert settings.jwks == "/etc/keys.json"
    assert settings.certificate == ""
    assert (settings.lifetime, settings.algorithm) == (300, "ES256")
    assert not settings.policy.anonymous_pull


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"issuer": ISSUER}, "service: required"),
        ({**WHOLE, "isuer": "x"}, "tokens.yml:5: isuer: unknown key 'isuer' (did you mean"),
        ({**WHOLE, "addr": "here"}, "tokens.yml:5: addr: an address is of the form HOST:PORT"),
        ({**WHOLE, "addr": ":70000"}, "tokens.yml:5: addr: an address is of the form HOST:PORT"),
        ({**WHOLE, "algorithm": "HS256"}, "tokens.yml:5: algorithm: "),
        ({**WHOLE, "lifetime": 59}, "tokens.yml:5: lifetime: "),
        ({**WHOLE, "service": "a\nb"}, ": service: "),
        (
            {**WHOLE, "policy": {"users": {"alice": {"Team/*": ["pull"]}}}},
            "tokens.yml:8: policy.users.alice.Team/*: a pattern has lower-case letters",
        ),
        (
            {**WHOLE, "policy": {"users": {"alice": {"team/*": ["read"]}}}},
            "policy.users.alice.team/*.0: ",
        ),
        ({**WHOLE, "policy": {"anonymous": True}}, "policy.anonymous: unknown key"),
    ],
)
def test_mistake_is_named_with_file_and_line(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, settings))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: (folder / "users").unlink(), "no such file; see `registry user add`"),
        (lambda folder: (folder / "key.pem").write_text("confidential"), "no private key in PEM"),
        (lambda folder: load_or_make_key(folder / "key.pem", "RS256"), "not a key for ES256"),
        (lambda folder: (folder / "key.pem").mkdir(), "Is a directory"),
        (lambda folder: (folder / "keys.json").mkdir(), "Is a directory"),
    ],
)
def test_what_it_needs_is_told_in_a_line(
    tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    write_users(tmp_path / "users", {})
    prepare(tmp_path)
    path = write(tmp_path, {**WHOLE, "jwks": "keys.json"})
    with pytest.raises(ConfigurationError, match=message) as caught:
        make_token_server(load_settings(path))
    assert "confidential" not in str(caught.value)


def test_command_tells_mistakes_without_a_traceback(tmp_path: Path) -> None:
    for settings, message in (({}, "issuer: required"), (WHOLE, "no such file")):
        done = subprocess.run(
            [REGISTRY, "token-server", str(write(tmp_path, settings))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


# Patterns and scopes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("a", "a", True),
        ("a", "a/b", False),
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("**", "a/b", True),
        ("*", "a", True),
        ("a.b", "axb", False),
        ("*-dev", "x-dev", True),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    policy = Policy({"u": {pattern: ["push"]}}, anonymous_pull=False, catalog=())
    (scope,) = parse_scopes([f"repository:{name}:push"])
    assert policy.allowed("u", scope) == (["push"] if matches else [])
    assert policy.allowed("v", scope) == []
    assert policy.allowed(None, scope) == []


def test_scope_with_a_port_in_its_name() -> None:
    (scope,) = parse_scopes(["repository:localhost:5000/a:pull,pull,push"])
    assert (scope.name, scope.actions) == ("localhost:5000/a", ("pull", "push"))
    assert parse_scopes(["", " "]) == []
    with pytest.raises(ScopeError):
        parse_scopes(["repository:a:pull\n"])


def test_example_of_the_documentation_is_a_configuration(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "registry.md").read_text()
    path = tmp_path / "tokens.yml"
    path.write_text(
        page.partition("```yaml\n# tokens.yml")[2].partition("```")[0].partition("\n")[2]
    )
    settings = load_settings(path)
    assert settings.policy.users["alice"] == {"team/**": ("pull", "push", "delete")}
    assert settings.policy.anonymous_pull
