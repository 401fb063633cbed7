"""What the tests of authentication share: users, keys, tokens, and registries that want them."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import jwt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from storagedriver_registry import create_app
from storagedriver_registry.api.request import ASGIApp, Message
from storagedriver_registry.auth.token_keys import public_jwk

from registry.tests.application import in_memory
from registry.tests.processes import REGISTRY, ServerProcess, free_port
from storagedriver_core import Storage

REALM = "http://127.0.0.1:5001/token"
SERVICE = "registry.example"
ISSUER = "tokens.example"

MAKERS: Mapping[str, Callable[[], Any]] = {
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
_made: dict[str, Any] = {}


def key(kind: str, name: str = "") -> Any:
    """Give a private key; the same for the same kind and name."""
    label = f"{kind}/{name}"
    if label not in _made:
        _made[label] = MAKERS[kind]()
    return _made[label]


def write_users(path: Path, users: Mapping[str, str]) -> Path:
    """Write a password file, as quick to check as bcrypt allows."""
    lines = [
        f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"
        for user, password in users.items()
    ]
    path.write_text("".join(lines))
    return path


def basic(user: str, password: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {credentials}"}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def repository(name: str, *actions: str) -> dict[str, Any]:
    """Give an entry of a token's `access`."""
    return {"type": "repository", "name": name, "actions": list(actions)}


def claims(*access: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """Give the claims of a token that holds; those that are None are left out."""
    now = int(time.time())
    every = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": SERVICE,
        "exp": now + 300,
        "nbf": now,
        "iat": now,
        "access": list(access),
        **others,
    }
    return {name: value for name, value in every.items() if value is not None}


def certificate(
    name: str,
    private: Any,
    *,
    issuer: str = "",
    signed_by: Any = None,
    is_authority: bool | None = False,
    may_sign: bool | None = None,
    days: tuple[int, int] = (-1, 1),
) -> x509.Certificate:
    """Make a certificate; without an issuer it is signed by itself."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer or name))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
    )
    if is_authority is not None:
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
    if may_sign is not None:
        usage = dict.fromkeys(
            (
                *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
                *("crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        allowed = x509.KeyUsage(digital_signature=True, key_cert_sign=may_sign, **usage)
        builder = builder.add_extension(allowed, critical=True)
    return builder.sign(signed_by or private, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def write_certificates(path: Path, *certificates: x509.Certificate) -> str:
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    return str(path)


def x5c(*certificates: x509.Certificate) -> dict[str, Any]:
    """Give the header with a chain."""
    return {
        "x5c": [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in certificates]
    }


def write_jwks(path: Path, *members: Mapping[str, Any]) -> str:
    path.write_text(json.dumps({"keys": list(members)}))
    return str(path)


def member(private: Any, **others: Any) -> dict[str, Any]:
    """Give a public key as a member of a key set."""
    return {**public_jwk(private.public_key()), **others}


def token_options(**options: Any) -> dict[str, Any]:
    return {"realm": REALM, "service": SERVICE, "issuer": ISSUER, **options}


def signed(
    content: Mapping[str, Any],
    private: Any,
    algorithm: str = "ES256",
    headers: Mapping[str, Any] | None = None,
) -> str:
    # Signed as it is, wrong types too.
    data = json.dumps(dict(content)).encode()
    return jwt.PyJWS().encode(data, private, algorithm, headers=dict(headers or {}))


@asynccontextmanager
async def living(app: ASGIApp) -> AsyncIterator[None]:
    """Start an application up, and shut it down."""
    orders: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan"}, orders.get, answers.put))
    for order in ("startup", "shutdown"):
        await orders.put({"type": f"lifespan.{order}"})
        answer = await answers.get()
        assert answer["type"] == f"lifespan.{order}.complete", answer
        if order == "startup":
            yield
    await life


def with_registry(
    auth: Mapping[str, Any], test: Callable[[httpx.AsyncClient], Awaitable[None]]
) -> None:
    """Run a test with a client of a registry in this process, that has such a section `auth`."""

    async def main() -> None:
        async with Storage(in_memory()) as storage:
            config = {"auth": auth, "storage": {"delete": {"enabled": True}}}
            app = create_app(config, storage=storage)
            transport = httpx.ASGITransport(app)
            async with (
                living(app),
                httpx.AsyncClient(transport=transport, base_url="http://registry") as http,
            ):
                await test(http)

    asyncio.run(main())


def status_of(auth: Mapping[str, Any], path: str, headers: Mapping[str, str]) -> httpx.Response:
    """Give the answer of such a registry to one GET."""
    found: list[httpx.Response] = []

    async def ask(http: httpx.AsyncClient) -> None:
        found.append(await http.get(path, headers=dict(headers)))

    with_registry(auth, ask)
    return found[0]


class TokenServerProcess(ServerProcess):
    """`registry token-server` on a configuration in a folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        port = free_port()
        config = folder / "token-server.yml"
        everything = {
            "addr": f"127.0.0.1:{port}",
            "issuer": ISSUER,
            "service": SERVICE,
            "users": "users",
            "key": "key.pem",
            "jwks": "keys.json",
            "certificate": "key.crt",
            **(settings or {}),
        }
        config.write_text(yaml.safe_dump(everything))
        self.folder = folder
        command = [REGISTRY, "token-server", str(config)]
        super().__init__(command, port, folder, folder / "token-server.log")

    @property
    def realm(self) -> str:
        return f"{self.url}/token"

    def options(self, **options: Any) -> dict[str, Any]:
        """Give the options of a registry that takes its tokens."""
        return {**token_options(realm=self.realm), **options}

    def token(
        self, credentials: tuple[str, str] | None, *scopes: str, **params: str
    ) -> dict[str, Any]:
        response = httpx.get(
            self.realm, params={"scope": list[str](scopes), **params}, auth=credentials
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


def scopes_of(challenge: str) -> Sequence[str]:
    """Give the scopes of a challenge, each with its actions in order."""
    found = challenge.partition('scope="')[2].partition('"')[0].split()
    parts = [scope.rpartition(":") for scope in found]
    return sorted(f"{head}:{','.join(sorted(actions.split(',')))}" for head, _, actions in parts)
