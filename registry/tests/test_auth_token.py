"""The controller `token`: which tokens are taken, and what they allow."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from storagedriver_registry.auth import recent
from storagedriver_registry.auth.token_keys import libtrust_id, thumbprint

from registry.tests.authentication import (
    ISSUER,
    REALM,
    SERVICE,
    bearer,
    certificate,
    claims,
    key,
    member,
    repository,
    signed,
    status_of,
    token_options,
    with_registry,
    write_certificates,
    write_jwks,
    x5c,
)
from storagedriver_core import ConfigurationError

SECRET = b"a secret of at least thirty-two bytes, or sixty-four for the longest"
ALGORITHMS = {
    "rsa": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "p256": ["ES256"],
    "p384": ["ES384"],
    "p521": ["ES512"],
    "ed25519": ["EdDSA"],
}
OTHERS = {"p256": "ES384", "p384": "ES256", "p521": "ES256", "ed25519": "ES256", "rsa": "ES256"}
PULL_A = repository("a", "pull")


def encoded(data: bytes | Mapping[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def secret_member(**others: Any) -> dict[str, Any]:
    return {"kty": "oct", "k": encoded(SECRET), **others}


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    """A registry that takes tokens of one key on P-256, called `k`."""
    path = write_jwks(tmp_path / "keys.json", member(key("p256"), kid="k"))
    return {"token": token_options(jwks=path)}


def token(*access: Mapping[str, Any], **others: Any) -> str:
    """Give a token of that key."""
    return signed(claims(*access, **others), key("p256"), headers={"kid": "k"})


def refusal(error: str = "invalid_token", scope: str = "repository:a:pull") -> str:
    suffix = f',error="{error}"' if error else ""
    return f'Bearer realm="{REALM}",service="{SERVICE}",scope="{scope}"{suffix}'


def asked(section: Mapping[str, Any], text: str, path: str = "/v2/a/tags/list") -> httpx.Response:
    return status_of(section, path, bearer(text))


def is_taken(section: Mapping[str, Any], text: str) -> bool:
    """Tell whether a token that allows to pull `a` is taken; a refusal says why."""
    response = asked(section, text)
    if response.status_code == 401:
        assert response.headers["www-authenticate"] == refusal()
        return False
    # It may be pulled, and is not there.
    assert response.status_code == 404
    return True


# Keys and algorithms -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_key_of_a_set_signs_with_its_own_algorithms_only(tmp_path: Path, kind: str) -> None:
    path = write_jwks(tmp_path / "keys.json", member(key(kind), kid="k"))
    section = {"token": token_options(jwks=path)}
    for algorithm in ALGORITHMS[kind]:
        text = signed(claims(PULL_A), key(kind), algorithm, {"kid": "k"})
        assert is_taken(section, text), algorithm
    forged = signed(
        claims(PULL_A),
        key("p384" if OTHERS[kind] == "ES384" else "p256", "x"),
        OTHERS[kind],
        {"kid": "k"},
    )
    assert not is_taken(section, forged)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_secret_of_a_set_signs(tmp_path: Path, algorithm: str) -> None:
    path = write_jwks(tmp_path / "keys.json", secret_member(kid="s"))
    section = {"token": token_options(jwks=path)}
    assert is_taken(section, signed(claims(PULL_A), SECRET, algorithm, {"kid": "s"}))
    wrong = bytes(reversed(SECRET))
    assert not is_taken(section, signed(claims(PULL_A), wrong, algorithm, {"kid": "s"}))


@pytest.mark.parametrize("form", ["pem", "der", "modulus"])
def test_public_key_is_no_secret(tmp_path: Path, form: str) -> None:
    """Whoever has the public key signs with it as if it were a secret."""
    private = key("rsa")
    path = write_jwks(tmp_path / "keys.json", member(private, kid="k"), secret_member(kid="s"))
    section = {"token": token_options(jwks=path)}
    public = private.public_key()
    forms = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "modulus": member(private)["n"].encode(),
    }
    head = encoded({"alg": "HS256", "typ": "JWT", "kid": "k"}) + "." + encoded(claims(PULL_A))
    mac = hmac.digest(forms[form], head.encode(), "sha256")
    assert not is_taken(section, f"{head}.{encoded(mac)}")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, 5, ["ES256"]])
def test_token_that_nobody_signed_is_refused(section: dict[str, Any], name: Any) -> None:
    content = encoded(claims(PULL_A))
    for signature in ("", encoded(b"x")):
        head = encoded({"alg": name, "typ": "JWT", "kid": "k"})
        assert not is_taken(section, f"{head}.{content}.{signature}")


def test_algorithms_can_be_narrowed(tmp_path: Path) -> None:
    path = write_jwks(tmp_path / "keys.json", member(key("rsa"), kid="k"))
    section = {"token": token_options(jwks=path, signingalgorithms=["PS256", "ES256"])}
    for algorithm in ALGORITHMS["rsa"]:
        text = signed(claims(PULL_A), key("rsa"), algorithm, {"kid": "k"})
        assert is_taken(section, text) == (algorithm == "PS256")


def test_member_says_what_it_is_for(tmp_path: Path) -> None:
    path = write_jwks(
        tmp_path / "keys.json",
        member(key("rsa"), kid="k", alg="RS512"),
        member(key("p256"), kid="e", use="enc"),
        secret_member(kid="s", alg="HS512"),
    )
    section = {"token": token_options(jwks=path)}

    def signs(kind: Any, algorithm: str, name: str) -> bool:
        return is_taken(section, signed(claims(PULL_A), kind, algorithm, {"kid": name}))

    assert signs(key("rsa"), "RS512", "k")
    assert not signs(key("rsa"), "RS256", "k")
    assert not signs(key("p256"), "ES256", "e")
    assert signs(SECRET, "HS512", "s")
    assert not signs(SECRET, "HS256", "s")


def test_private_half_in_a_set_does_no_harm(tmp_path: Path) -> None:
    whole = jwt.algorithms.ECAlgorithm.to_jwk(key("p256"), as_dict=True)
    assert "d" in whole
    path = write_jwks(tmp_path / "keys.json", {**whole, "kid": "k"})
    assert is_taken({"token": token_options(jwks=path)}, token(PULL_A))


@pytest.mark.parametrize("name", [thumbprint, libtrust_id])
def test_key_is_known_by_what_token_servers_call_it(tmp_path: Path, name: Any) -> None:
    """Of a set without names, and of a certificate."""
    public = key("p256").public_key()
    text = signed(claims(PULL_A), key("p256"), headers={"kid": name(public)})
    path = write_jwks(tmp_path / "keys.json", member(key("p256")))
    assert is_taken({"token": token_options(jwks=path)}, text)
    own = certificate("tokens", key("p256"))
    bundle = write_certificates(tmp_path / "root.crt", own)
    assert is_taken({"token": token_options(rootcertbundle=bundle)}, text)


def test_thumbprint_is_that_of_the_specification() -> None:
    """Source: RFC 7638, section 3.1; RFC 8037, appendix A.3."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
        "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
        "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI"
        "4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    rsa = jwt.PyJWK({"kty": "RSA", "n": modulus, "e": "AQAB"}).key
    assert thumbprint(rsa) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    ed = jwt.PyJWK({"kty": "OKP", "crv": "Ed25519", "x": x}).key
    assert thumbprint(ed) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("name", ["unknown", "", None, 5, {"k": 1}])
def test_unknown_key_is_refused(section: dict[str, Any], name: Any) -> None:
    head = encoded({"alg": "ES256", "typ": "JWT", "kid": name})
    good = token(PULL_A).split(".")
    assert not is_taken(section, f"{head}.{good[1]}.{good[2]}")


def test_key_of_somebody_else_is_refused(section: dict[str, Any]) -> None:
    text = signed(claims(PULL_A), key("p256", "mallory"), headers={"kid": "k"})
    assert not is_taken(section, text)


def test_key_in_the_header_counts_only_if_it_is_trusted(section: dict[str, Any]) -> None:
    def with_key(private: Any, **others: Any) -> str:
        return signed(claims(PULL_A), private, headers={"jwk": member(private, **others)})

    assert is_taken(section, with_key(key("p256")))
    assert not is_taken(section, with_key(key("p256", "mallory")))
    # The name that it gives itself says nothing.
    assert not is_taken(section, with_key(key("p256", "mallory"), kid="k"))
    all_broken: list[dict[str, Any]] = [
        {"kty": "EC"},
        {"kty": "oct", "k": encoded(SECRET)},
        {"kty": []},
        {"x5c": [1]},
    ]
    for broken in all_broken:
        text = signed(claims(PULL_A), key("p256"), headers={"jwk": broken})
        assert not is_taken(section, text)


# Chains of certificates ----------------------------------------------------------------------


class Chains:
    """An authority that is trusted, one below it, and what they have signed."""

    def __init__(self, folder: Path, kind: str = "p256") -> None:
        self.root_key, self.middle_key = key(kind, "root"), key(kind, "middle")
        self.leaf_key = key(kind, "leaf")
        self.root = certificate("root", self.root_key, is_authority=True)
        self.middle = self.make_middle()
        bundle = write_certificates(folder / "root.crt", self.root)
        self.section = {"token": token_options(rootcertbundle=bundle)}
        self._algorithm = "RS256" if kind == "rsa" else "ES256"

    def make_middle(self, **others: Any) -> Any:
        wanted = {"is_authority": True, "issuer": "root", "signed_by": self.root_key, **others}
        return certificate("middle", self.middle_key, **wanted)

    def make_leaf(self, **others: Any) -> Any:
        wanted = {"issuer": "middle", "signed_by": self.middle_key, **others}
        return certificate("leaf", self.leaf_key, **wanted)

    def is_taken(self, *chain: Any, private: Any = None) -> bool:
        text = signed(claims(PULL_A), private or self.leaf_key, self._algorithm, x5c(*chain))
        return is_taken(self.section, text)


@pytest.fixture
def chains(tmp_path: Path) -> Chains:
    return Chains(tmp_path)


@pytest.mark.parametrize("kind", ["p256", "rsa"])
def test_chain_to_a_trusted_authority_is_taken(tmp_path: Path, kind: str) -> None:
    chains = Chains(tmp_path, kind)
    assert chains.is_taken(chains.make_leaf(), chains.middle)
    assert chains.is_taken(chains.make_leaf(), chains.middle, chains.root)
    assert chains.is_taken(chains.make_leaf(is_authority=None), chains.middle)
    assert chains.is_taken(chains.make_leaf(), chains.make_middle(may_sign=True))
    direct = chains.make_leaf(issuer="root", signed_by=chains.root_key)
    assert chains.is_taken(direct)


def test_chain_that_does_not_lead_there_is_refused(chains: Chains) -> None:
    leaf = chains.make_leaf()
    assert not chains.is_taken(leaf)
    assert not chains.is_taken(leaf, chains.root)
    # An authority of the same name, with another key.
    mallory = key("p256", "mallory")
    other_root = certificate("root", mallory, is_authority=True)
    other_middle = chains.make_middle(signed_by=mallory)
    assert not chains.is_taken(leaf, other_middle, other_root)
    # Whoever has a certificate of the authority is none for that.
    for middle in (
        chains.make_middle(is_authority=False),
        chains.make_middle(is_authority=None),
        chains.make_middle(may_sign=False),
    ):
        assert not chains.is_taken(leaf, middle)


def test_chain_out_of_its_time_is_refused(chains: Chains) -> None:
    for days in ((-2, -1), (1, 2)):
        assert not chains.is_taken(chains.make_leaf(days=days), chains.middle)
        assert not chains.is_taken(chains.make_leaf(), chains.make_middle(days=days))


def test_token_of_another_key_than_the_chain_says_is_refused(chains: Chains) -> None:
    chain = (chains.make_leaf(), chains.middle)
    assert not chains.is_taken(*chain, private=key("p256", "mallory"))


@pytest.mark.parametrize("is_authority", [True, False, None])
def test_certificate_that_is_trusted_itself(tmp_path: Path, is_authority: bool | None) -> None:
    own = certificate("tokens", key("p256"), is_authority=is_authority)
    old = certificate("old", key("p256", "old"), days=(-2, -1))
    bundle = write_certificates(tmp_path / "root.crt", own, old)
    section = {"token": token_options(rootcertbundle=bundle)}
    assert is_taken(section, signed(claims(PULL_A), key("p256"), headers=x5c(own)))
    assert not is_taken(section, signed(claims(PULL_A), key("p256", "old"), headers=x5c(old)))
    inside = {"jwk": {**member(key("p256")), **x5c(own)}}
    assert is_taken(section, signed(claims(PULL_A), key("p256"), headers=inside))


@pytest.mark.parametrize(
    "chain", ["text", {}, [5], ["!"], ["AAAA"], [None], [["AAAA"]], {"a": "b"}]
)
def test_malformed_chain_is_refused(chains: Chains, chain: Any) -> None:
    text = signed(claims(PULL_A), chains.leaf_key, headers={"x5c": chain})
    assert not is_taken(chains.section, text)


def test_user_of_a_token_cannot_forge_a_line_of_the_log(
    section: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    text = signed(claims(PULL_A, sub="al\nice"), key("p256"), headers={"kid": "k"})
    with caplog.at_level("INFO"):
        assert is_taken(section, text)
    (line,) = [message for message in caplog.messages if "response completed" in message]
    assert "\n" not in line
    assert r"al\nice" in line


def test_end_of_a_certificate_in_the_bundle_counts_for_chains_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in distribution: its bundles may hold certificates that nobody renewed."""
    old = certificate("old tokens", key("p256"), days=(-2, -1))
    section = {
        "token": token_options(rootcertbundle=write_certificates(tmp_path / "root.crt", old))
    }
    public = key("p256").public_key()
    every: list[dict[str, Any]] = [
        {"kid": thumbprint(public)},
        {"kid": libtrust_id(public)},
        {"jwk": member(key("p256"))},
    ]
    for headers in every:
        assert is_taken(section, signed(claims(PULL_A), key("p256"), headers=headers))
    assert not is_taken(section, signed(claims(PULL_A), key("p256"), headers=x5c(old)))
    assert "the certificate of CN=old tokens ended on" in caplog.text


def test_chain_with_a_certificate_of_an_unknown_version_is_refused(chains: Chains) -> None:
    (leaf,) = x5c(chains.make_leaf())["x5c"]
    version = bytes.fromhex("a003020102")
    der = base64.b64decode(leaf)
    assert der.count(version) == 1
    future = base64.b64encode(der.replace(version, version[:-1] + b"\x09")).decode()
    for chain in ([future], [leaf, future]):
        text = signed(claims(PULL_A), chains.leaf_key, headers={"x5c": chain})
        assert not is_taken(chains.section, text)


def test_chain_without_authorities_is_refused(section: dict[str, Any]) -> None:
    own = certificate("tokens", key("p256"))
    text = signed(claims(PULL_A), key("p256"), headers={"kid": "k", **x5c(own)})
    assert not is_taken(section, text)


# Claims --------------------------------------------------------------------------------------


class FromNow(int):
    """Seconds from when the test runs."""


@pytest.mark.parametrize(
    ("others", "taken"),
    [
        ({}, True),
        ({"exp": FromNow(-30)}, True),  # within the leeway
        ({"exp": FromNow(-120)}, False),
        ({"exp": None}, False),
        ({"exp": "soon"}, False),
        ({"nbf": FromNow(30)}, True),  # within the leeway
        ({"nbf": FromNow(3600)}, False),
        ({"nbf": None, "iat": None, "sub": None}, True),
        ({"iat": FromNow(3600)}, True),  # says nothing of when it holds
        ({"iss": "somebody"}, False),
        ({"iss": None}, False),
        ({"iss": [ISSUER]}, False),
        ({"aud": "another"}, False),
        ({"aud": None}, False),
        ({"aud": []}, False),
        ({"aud": ["another", SERVICE]}, True),
        ({"aud": ["another"]}, False),
        ({"aud": {SERVICE: 1}}, False),
        ({"sub": 5}, True),
        ({"access": "repository:a:pull"}, False),
        ({"access": [5]}, False),
        ({"access": [{"type": "repository", "name": "a", "actions": "pull"}]}, False),
        ({"access": [{"type": "repository", "actions": ["pull"]}]}, False),
        ({"access": [PULL_A, {"type": "x", "name": "y", "actions": None}]}, True),
        ({"access": [{**PULL_A, "class": "image", "more": 1}]}, True),
    ],
)
def test_claims(section: dict[str, Any], others: dict[str, Any], taken: bool) -> None:
    moved = {
        name: int(time.time()) + value if isinstance(value, FromNow) else value
        for name, value in others.items()
    }
    content = {"access": [PULL_A], **moved}
    access = content.pop("access")
    text = token(**({"access": access} | content))
    assert is_taken(section, text) == taken


def test_numbers_that_are_none_are_refused(section: dict[str, Any]) -> None:
    for number in (float("inf"), float("nan"), 10**400):
        assert not is_taken(section, token(PULL_A, exp=number))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_tampered_token_is_refused(section: dict[str, Any], part: int) -> None:
    parts = token(PULL_A).split(".")
    other = token(repository("a", "pull", "push"), sub="mallory").split(".")
    parts[part] = other[part] if part else encoded({"alg": "ES256", "kid": "k", "typ": "x"})
    assert not is_taken(section, ".".join(parts))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "....",
        "é.é.é",
        "!!.!!.!!",
        f"{encoded(b'[]')}.e30.x",
        f"{encoded(b'{')}.e30.x",
        f"{encoded(b'[' * 3000)}.e30.x",
        f"{encoded(b'5')}.e30.x",
    ],
)
def test_what_is_no_token_is_refused(section: dict[str, Any], text: str) -> None:
    headers = {"authorization": f"Bearer {text}".encode()}
    response = status_of(section, "/v2/a/tags/list", headers)  # type: ignore[arg-type]  # bytes
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == refusal()


# What is allowed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}],
)
def test_without_a_token_the_client_is_told_where_to_get_one(
    section: dict[str, Any], headers: dict[str, str]
) -> None:
    response = status_of(section, "/v2/a/tags/list", headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == refusal("")
    assert response.json()["errors"][0]["detail"] == [
        {"Type": "repository", "Class": "", "Name": "a", "Action": "pull"}
    ]
    base = status_of(section, "/v2/", headers)
    assert base.headers["www-authenticate"] == f'Bearer realm="{REALM}",service="{SERVICE}"'
    assert base.json() == {
        "errors": [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": None}]
    }


def test_token_allows_what_it_says_and_no_more(section: dict[str, Any]) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        headers = bearer(token(repository("a", "pull"), repository("b", "push", "pull")))

        async def status(method: str, path: str) -> tuple[int, str]:
            response = await http.request(method, path, headers=headers)
            return response.status_code, response.headers.get("www-authenticate", "")

        assert await status("GET", "/v2/") == (200, "")
        assert (await status("GET", "/v2/a/tags/list"))[0] == 404
        few = "insufficient_scope"
        refused = [
            ("POST", "/v2/a/blobs/uploads/", "repository:a:pull,push"),
            ("DELETE", "/v2/b/manifests/v1", "repository:b:delete"),
            ("HEAD", "/v2/c/manifests/v1", "repository:c:pull"),
            ("GET", "/v2/_catalog", "registry:catalog:*"),
        ]
        for method, path, scope in refused:
            assert await status(method, path) == (401, refusal(few, scope))
        assert (await status("POST", "/v2/b/blobs/uploads/"))[0] == 202

    with_registry(section, ask)


def test_catalog_and_star(section: dict[str, Any]) -> None:
    catalog = {"type": "registry", "name": "catalog", "actions": ["*"]}
    assert asked(section, token(catalog), "/v2/_catalog").status_code == 200
    text = token({**catalog, "actions": ["pull"]})
    assert asked(section, text, "/v2/_catalog").status_code == 401
    assert is_taken(section, token(repository("a", "*")))
    # Entries of one resource count together.
    both = token(repository("a", "push"), repository("a", "pull"))
    assert is_taken(section, both)


def test_client_can_be_sent_to_the_same_host(tmp_path: Path) -> None:
    path = write_jwks(tmp_path / "keys.json", member(key("p256"), kid="k"))

    def realm(headers: Mapping[str, Any], **options: Any) -> str:
        section = {"token": token_options(jwks=path, autoredirect=True, **options)}
        response = status_of(section, "/v2/", headers)
        return str(response.headers["www-authenticate"]).partition(",")[0]

    assert realm({"host": "r.example:5000"}) == 'Bearer realm="https://r.example:5000/auth/token"'
    forwarded = {"host": "[::1]:5000", "x-forwarded-proto": "http, https"}
    assert realm(forwarded, autoredirectpath="/t") == 'Bearer realm="http://[::1]:5000/t"'
    odd = {"host": 'r",service="x', "x-forwarded-proto": 'x"y'}
    assert realm(odd) == 'Bearer realm="https://r%22%2Cservice%3D%22x/auth/token"'
    nothing = {"token": token_options(jwks=path, autoredirectpath="/t")}
    assert REALM in status_of(nothing, "/v2/", {}).headers["www-authenticate"]


# What is remembered --------------------------------------------------------------------------


def test_token_is_verified_once_a_minute_and_not_after_its_end(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []
    decode = jwt.decode

    def counted(*arguments: Any, **options: Any) -> Any:
        verified.append(arguments[0])
        return decode(*arguments, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    start = time.monotonic()
    now = [start]
    monkeypatch.setattr(recent, "monotonic", lambda: now[0])

    async def ask(http: httpx.AsyncClient) -> None:
        # It holds for ten seconds more: its end, and the leeway.
        ending, long = token(PULL_A, exp=int(time.time()) - 50), token(PULL_A)
        for text, seconds in ((ending, 11), (long, 61)):
            verified.clear()
            for _ in range(3):
                assert (await http.get("/v2/a/tags/list", headers=bearer(text))).status_code == 404
            assert len(verified) == 1
            now[0] += seconds
            await http.get("/v2/a/tags/list", headers=bearer(text))
            assert len(verified) == 2
        # What is remembered of one token is not taken for another.
        other = f"{long[:-2]}{'AA' if long[-2:] != 'AA' else 'BB'}"
        assert (await http.get("/v2/a/tags/list", headers=bearer(other))).status_code == 401

    with_registry(section, ask)


# Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("jwks", None, "No such file"),
        ("jwks", "{", "no JSON"),
        ("jwks", "[]", "no set of keys"),
        ("jwks", '{"keys": {}}', "no set of keys"),
        ("jwks", '{"keys": []}', "there is no key"),
        ("jwks", '{"keys": [{"kty": "EC"}, 5, {"kty": "new"}]}', "there is no key"),
        ("rootcertbundle", None, "No such file"),
        ("rootcertbundle", "", "no certificates"),
        (
            "rootcertbundle",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no c",
        ),
    ],
)
def test_file_without_keys_is_told_at_the_start(
    tmp_path: Path, option: str, content: str | None, message: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)

    async def nothing(http: httpx.AsyncClient) -> None:
        raise NotImplementedError

    with pytest.raises((AssertionError, ConfigurationError), match=message):
        with_registry({"token": token_options(**{option: str(path)})}, nothing)


def test_member_that_cannot_be_read_is_left_out_and_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"kty": "oct", "k": 5, "note": "confidential"}
    path = write_jwks(tmp_path / "keys.json", broken, member(key("p256"), kid="k"))
    assert is_taken({"token": token_options(jwks=path)}, token(PULL_A))
    assert "cannot be read" in caplog.text
    assert "confidential" not in caplog.text


def test_no_token_is_logged(section: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "storagedriver_registry")
    good, bad = token(PULL_A), token(PULL_A, aud="another")
    assert is_taken(section, good)
    assert not is_taken(section, bad)
    assert "not authorized: " in caplog.text
    for text in (good, bad):
        assert text.rpartition(".")[2] not in caplog.text
