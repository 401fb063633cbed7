"""The SDK's own chain of credentials, and what the driver tells of it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from storagedriver_s3._config import MIN_PART_SIZE, S3Config
from storagedriver_s3._driver import S3Driver
from storagedriver_s3._identity import shorten

from servers.seaweedfs import SeaweedFS
from storagedriver_core import AuthenticationError, Storage

KEYS = ("access_key", "secret_key")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away whatever this machine would find."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keyless(seaweedfs_bucket: Mapping[str, object]) -> Mapping[str, object]:
    """Give the parameters of a bucket without any credentials."""
    return {name: value for name, value in seaweedfs_bucket.items() if name not in KEYS}


class Rotating:
    """A provider of credentials as in a container: each answer is another identity's."""

    def __init__(self) -> None:
        self.asked = 0
        identities = [
            (SeaweedFS.access_key, SeaweedFS.secret_key),
            (SeaweedFS.other_access_key, SeaweedFS.other_secret_key),
        ]
        rotating = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                access_key, secret_key = identities[rotating.asked % 2]
                rotating.asked += 1
                # So soon over that each request asks again.
                expires = datetime.now(UTC) + timedelta(seconds=30)
                answer = {
                    "AccessKeyId": access_key,
                    "SecretAccessKey": secret_key,
                    "Token": "",
                    "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def rotating() -> Iterator[Rotating]:
    provider = Rotating()
    thread = threading.Thread(target=provider.server.serve_forever)
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
    thread.join()


def test_credentials_may_change_between_two_parts(
    keyless: Mapping[str, object], rotating: Rotating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", rotating.url)
    config = S3Config.model_validate({**keyless, "root_directory": "rotating"})

    async def write() -> None:
        driver = S3Driver(config)
        async with Storage(driver, part_size=MIN_PART_SIZE) as storage:
            assert (await driver.identity())["credentials"] == "container role"
            async with await storage.writer("/a") as writer:
                for number in range(3):
                    asked = rotating.asked
                    await writer.write(bytes([number]) * MIN_PART_SIZE)
                    while writer.durable_offset < writer.offset:  # noqa: ASYNC110  # no event
                        await asyncio.sleep(0.001)
                    assert rotating.asked > asked
                await writer.commit()
            assert (await storage.stat("/a")).size == 3 * MIN_PART_SIZE
            await storage.delete("/a")

    asyncio.run(write())


def identity_of(parameters: Mapping[str, object]) -> Mapping[str, str]:
    async def ask() -> Mapping[str, str]:
        driver = S3Driver(S3Config.model_validate(parameters))
        await driver.open()
        try:
            return await driver.identity()
        finally:
            await driver.aclose()

    return asyncio.run(ask())


def test_identity_says_where_credentials_come_from(
    seaweedfs_bucket: Mapping[str, object],
    keyless: Mapping[str, object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    told = identity_of(seaweedfs_bucket)
    assert list(told) == ["credentials", "access_key", "endpoint", "bucket", "region"]
    assert told["credentials"] == "configuration"
    assert told["endpoint"] == seaweedfs_bucket["endpoint"]
    assert "secret" not in str(told)
    assert identity_of({**keyless, "anonymous": True})["credentials"] == "anonymous"
    assert identity_of(keyless)["credentials"] == "none"
    (tmp_path / "credentials").write_text(
        "[dev]\naws_access_key_id = AKIAOFAPROFILE00\naws_secret_access_key = s\n"
    )
    told = identity_of({**keyless, "profile": "dev"})
    assert (told["credentials"], told["access_key"]) == ("profile dev", "AKIA…LE00")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SeaweedFS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SeaweedFS.secret_key)
    assert identity_of(keyless)["credentials"] == "environment"


def test_credentials_of_the_environment_work_and_none_are_an_authentication_error(
    keyless: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with Storage(S3Driver(S3Config.model_validate(keyless))) as storage:
            await storage.check()

    with pytest.raises(AuthenticationError):
        asyncio.run(check())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SeaweedFS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SeaweedFS.secret_key)
    asyncio.run(check())


@pytest.mark.parametrize("program", ["false", "echo no credentials"])
def test_program_that_gives_no_credentials_is_an_authentication_error(
    program: str, keyless: Mapping[str, object], tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(f"[profile broken]\ncredential_process = {program}\n")
    with pytest.raises(AuthenticationError):
        identity_of({**keyless, "profile": "broken"})


def test_identity_that_cannot_be_had_is_a_fact(
    keyless: Mapping[str, object], tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        "[profile web]\nrole_arn = arn:aws:iam::123456789012:role/x\n"
        f"web_identity_token_file = {tmp_path}/none\n"
    )
    told = identity_of({**keyless, "profile": "web"})
    assert told["credentials"].startswith("none: ")
    assert told["bucket"] == keyless["bucket"]


def test_access_key_is_shortened() -> None:
    assert shorten("AKIAIOSFODNN7EXAMPLE") == "AKIA…MPLE"
    assert shorten("short") == "shor…"
