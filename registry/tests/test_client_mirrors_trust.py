"""Whom mirrors and registries are asked as, and what is trusted of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry.client import (
    CertificateError,
    Credentials,
    Mirror,
    NotFoundError,
    RegistriesConfig,
    RegistryClient,
    RegistryRule,
    TLSOptions,
)

from registry.tests.hostile import FakeTime, failing, hostile, sent, tls_of
from registry.tests.mirroring import MANIFEST, Mirrored, with_mirrors
from registry.tests.serving import Certificates


class Accounts:
    """Has other credentials for each host, and notes for which it was asked."""

    def credentials(self, host: str) -> Credentials:
        return Credentials(f"user of {host.replace(':', ' ')}", "password")


@pytest.mark.parametrize("given", [Credentials("user", "password"), Accounts()])
def test_credentials_go_to_the_host_that_they_are_for(given: Credentials | Accounts) -> None:
    async def test(all_: Mirrored) -> None:
        for place in (*all_.mirrors, all_.upstream):
            place.on("GET", "/v2/*", failing(401, WWW_Authenticate='Basic realm="all"'))
        with pytest.raises(Exception, match="401"):
            await all_.repository.manifests.get("v1")
        for place in (*all_.mirrors, all_.upstream):
            got = {headers.get("Authorization") for headers in place.asked("GET", "/manifests/")}
            if isinstance(given, Accounts):
                assert got == {None, given.credentials(place.host).basic()}
            elif place is all_.upstream:
                assert got == {None, given.basic()}
            else:
                assert got == {None}

    with_mirrors(test, credentials=given)


def test_mirror_with_a_certificate_of_its_own_is_asked_if_that_is_said(tmp_path: Path) -> None:
    made = Certificates(tmp_path)

    async def answered(host: str, mirror: Mirror, **options: Any) -> bytes:
        retries = FakeTime().retries()
        async with RegistryClient(host, mirrors=[mirror], retries=retries, **options) as client:
            try:
                return (await client.repository("a").manifests.get("v1")).data
            except NotFoundError as error:
                assert [type(one) for one in error.tried] == [CertificateError]
                return b""

    async def main() -> None:
        async with hostile(tls_of(made)) as mirror, hostile() as upstream:
            mirror.on("GET", "/v2/a/manifests/v1", sent(MANIFEST))
            assert await answered(upstream.host, Mirror(mirror.host)) == b""
            assert await answered(upstream.host, Mirror(mirror.host, insecure=True)) == MANIFEST
            trusting = {mirror.host: TLSOptions((made.authority,)), upstream.host: TLSOptions()}
            # What is trusted for the registry is not for others.
            own = trusting[mirror.host]
            assert await answered(upstream.host, Mirror(mirror.host), tls=own) == b""
            tls = trusting.__getitem__
            assert await answered(upstream.host, Mirror(mirror.host), tls=tls) == MANIFEST

    asyncio.run(main())


def test_mirror_is_not_asked_by_the_scheme_that_is_said_of_the_registry(tmp_path: Path) -> None:
    made = Certificates(tmp_path)

    async def main() -> None:
        async with hostile() as mirror, hostile(tls_of(made)) as upstream:
            mirror.on("GET", "/v2/a/manifests/v1", sent(MANIFEST))
            async with RegistryClient(
                upstream.host,
                plain_http=False,
                tls=TLSOptions((made.authority,)),
                mirrors=[Mirror(mirror.host)],
            ) as client:
                assert (await client.repository("a").manifests.get("v1")).data == MANIFEST
            assert upstream.requests == []

    asyncio.run(main())


@pytest.mark.parametrize("insecure", [True, False])
@pytest.mark.parametrize("is_moved", [True, False])
def test_rule_says_whether_a_certificate_that_nobody_trusts_will_do(
    tmp_path: Path, insecure: bool, is_moved: bool
) -> None:
    async def main() -> None:
        async with hostile(tls_of(Certificates(tmp_path))) as place:
            place.on("GET", "/v2/a/manifests/v1", sent(MANIFEST))
            host = "registry.example" if is_moved else place.host
            rule = RegistryRule(host, place.host if is_moved else "", insecure=insecure)
            async with RegistryClient(host, mirrors=RegistriesConfig([rule])) as client:
                manifests = client.repository("a").manifests
                if insecure:
                    assert (await manifests.get("v1")).data == MANIFEST
                else:
                    with pytest.raises(CertificateError):
                        await manifests.get("v1")

    asyncio.run(main())
