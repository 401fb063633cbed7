"""Parameters: docker/distribution's spellings, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from storagedriver_gcs import GcsConfig, GcsDriver
from storagedriver_gcs.harness import GcsHarness

from storagedriver_core import ConfigurationError, Storage

KEY = {"type": "service_account", "private_key": "-----SECRET-----", "client_email": "a@b"}


def test_distributions_parameters_are_accepted() -> None:
    config = GcsConfig.model_validate(
        {
            "bucket": "layers",
            "keyfile": "/path/to/key.json",
            "rootdirectory": "/registry/",
            "chunksize": 16777216,
            "maxconcurrency": 60,
            "useragent": "mine/1",
        }
    )
    assert (config.prefix, config.chunksize, config.user_agent) == ("registry/", 1 << 24, "mine/1")
    driver = GcsDriver(config)
    assert driver.capabilities.min_part_size == 1 << 24
    assert driver.capabilities.max_path_bytes == 1024 - len("registry/") + 1


@pytest.mark.parametrize("given", [KEY, json.dumps(KEY)])
def test_inline_credentials_are_a_mapping_or_text_and_do_not_show(given: Any) -> None:
    config = GcsConfig.model_validate({"bucket": "b", "credentials": given})
    assert config.credentials is not None
    assert json.loads(config.credentials.get_secret_value()) == KEY
    assert "SECRET" not in repr(config) + str(config) + config.model_dump_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": ""},
        {"chunksize": 262143},
        {"chunksize": 262144 + 1},
        {"endpoint": "storage.example"},
        {"public_endpoint": "ftp://x"},
        {"endpoint": "http://me:hidden@storage.example"},
        {"endpoint": "http://storage.example:99999"},
        {"root_directory": "a//b"},
        {"root_directory": "a/../b"},
        {"identity": "browser"},
        {"requester_pays": True},
        {"maxconcurrency": 0},
        {"read_timeout": 0},
        {"colour": "red"},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GcsConfig.model_validate({"bucket": "b", **wrong})


@pytest.mark.parametrize(
    "given", [{"keyfile": "no-such-file.json"}, {"credentials": "hunter2"}, {"credentials": "[]"}]
)
def test_key_that_cannot_be_read_is_a_fault_of_the_configuration(given: dict[str, str]) -> None:
    async def use() -> None:
        async with Storage(GcsDriver(GcsConfig.model_validate({"bucket": "b", **given}))):
            raise AssertionError("it opened")

    with pytest.raises(ConfigurationError) as refused:
        asyncio.run(use())
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("content", [b"hunter2", b"hunter2\xff"])
def test_key_file_that_is_no_json_is_refused_without_its_text(
    content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "key.json"
    file.write_bytes(content)

    async def use() -> None:
        config = GcsConfig.model_validate({"bucket": "b", "keyfile": str(file)})
        async with Storage(GcsDriver(config)):
            raise AssertionError("it opened")

    with pytest.raises(ConfigurationError, match="keyfile is not a JSON object") as refused:
        asyncio.run(use())
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("given", [None, {}])
def test_harness_without_parameters_asks_for_a_configuration_file(
    given: dict[str, object] | None, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="with -c"):
        GcsHarness(tmp_path, given)


def test_anonymous_drivers_sign_nothing() -> None:
    declared = GcsDriver(GcsConfig(bucket="b", identity="anon")).capabilities
    assert not (declared.sign_get or declared.sign_head or declared.sign_put)


def test_listing_plugins_and_reading_parameters_imports_no_sdk() -> None:
    program = (
        "import sys\n"
        "from storagedriver_core import load_plugins\n"
        "spec = load_plugins().driver('gcs')\n"
        "spec.parameters.model_validate({'bucket': 'b'})\n"
        "print([name for name in ('gcsfs', 'google.auth', 'google.cloud.storage', 'aiohttp')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
