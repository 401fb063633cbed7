"""What a client that lives long keeps of tokens, as that of a proxy of many repositories."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from storagedriver_registry.client.challenges import parse_challenges
from storagedriver_registry.client.retrying import Clock
from storagedriver_registry.client.tokens import Authenticator, repository_scope
from yarl import URL

CHALLENGES = parse_challenges(['Bearer realm="https://tokens.example/token",service="s"'])
SECONDS = 300.0


class Client:
    """One who asks a registry, and counts what it asks the token server."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fetched: list[str] = []
        clock = Clock(monotonic=lambda: self.now)
        self.authenticator = Authenticator("registry.example", None, self._fetch, clock)

    async def ask(self, name: str) -> None:
        scopes = frozenset({repository_scope(name, "pull")})
        await self.authenticator.learn(CHALLENGES, scopes, None)
        assert await self.authenticator.authorization(scopes) == f"Bearer {name}"

    def kept(self) -> tuple[int, int]:
        return len(self.authenticator._tokens), len(self.authenticator._wanted)

    async def _fetch(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        name = url.query["scope"].split(":")[1]
        self.fetched.append(name)
        return json.dumps({"token": name, "expires_in": SECONDS}).encode()


def test_tokens_of_many_repositories_are_bounded_and_those_in_use_stay() -> None:
    async def main() -> None:
        client = Client()
        for number in range(2500):
            await client.ask(f"r{number}")
            await client.ask("used")
        assert client.kept() == (1000, 1000)
        assert client.fetched.count("used") == 1
        await client.ask("r0")
        assert client.fetched.count("r0") == 2

    asyncio.run(main())


def test_tokens_that_have_run_out_are_not_kept() -> None:
    async def main() -> None:
        client = Client()
        for number in range(500):
            await client.ask(f"r{number}")
        client.now = SECONDS
        await client.ask("new")
        assert client.kept()[0] == 1

    asyncio.run(main())
