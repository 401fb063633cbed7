"""What each page takes for granted, and what stands in its tests for what a test cannot have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from docs.tests.site import Site, storage


@dataclass(frozen=True, slots=True)
class Scene:
    """The surroundings of a page's blocks.

    Attributes:
        files: What its reader has in the directory.
        replaced: What stands on the page, and what stands for it in the test, in this order.
        before: Commands that were given before.
        answers: What is typed at prompts.
        environment: Variables.
        statuses: What a command exits with that is to fail.
        around: Code before and after a Python block, by its number on the page from 0.
        cases: Which tests of Python blocks that are tests run; all, if empty.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    answers: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)
    around: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    cases: str = ""


# It keeps what it stores in memory of its own, as the README's driver does.
_DICT_HARNESS = """
import pytest
from storagedriver_testsuite import DriverSuite, Harness


class DictHarness(Harness):
    def __init__(self):
        self.files = {}

    def driver(self):
        driver = DictDriver()
        driver._files = self.files
        return driver

    async def raw_list(self):
        return list(self.files)

    async def raw_uploads(self):
        return []


class TestDict(DriverSuite):
    @pytest.fixture
    def harness(self):
        return DictHarness()
"""

_ASKED = """
import asyncio
import httpx


async def ask():
    async with lifespan(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://registry") as client:
            assert (await client.get("/v2/")).status_code == 200


asyncio.run(ask())
"""


def _readme(site: Site) -> Scene:
    read = 'assert open("data/greetings/long", "rb").read() == b"hello, world"'
    return Scene(
        files={
            "s3.yml": storage("s3", site.bucket()),
            "README.md": "# An image\n",
            "storage.yml": storage("filesystem", {"root_directory": "data"}),
        },
        # The one is the other, after setting up.
        replaced={"make serve": "registry serve", "127.0.0.1:5000": site.host()},
        environment={"REGISTRY_HTTP_ADDR": site.host()},
        around={0: ("", read), 1: ("", _DICT_HARNESS), 2: ("", _ASKED)},
    )


_PULLED = """

async def main() -> None:
    async with RegistryClient("HOST") as registry:
        await pull(registry, Path("pulled"))


import asyncio
asyncio.run(main())
assert Path("pulled/index.json").exists()
"""


def _client(site: Site) -> Scene:
    host = site.host()
    return Scene(
        files={"s3.yml": storage("s3", site.bucket()), "sbom.json": "{}"},
        replaced={"localhost:5000": host, "registry.example/app": f"{host}/upstream"},
        before=(
            f"REGISTRY_HTTP_ADDR={host} registry serve &",
            "umoci init --layout image",
            "umoci new --image image:v1",
            f"dist copy oci:image:v1 {host}/upstream:v1",
        ),
        around={1: ("", _PULLED.replace("HOST", host))},
    )


def _command(site: Site) -> Scene:
    layers = f"""storage:
  driver: s3
  parameters:
    bucket: layers
    region: eu-west-1
    profile: dev
    endpoint: {site.moto}
"""
    profile = (
        "[profile dev]\naws_access_key_id = AKIAIOSFODNN72PQ7\naws_secret_access_key = secret\n"
    )
    return Scene(
        files={
            "storage.yml": storage("filesystem", {"root_directory": "data"}),
            "disk.yml": storage("filesystem", {"root_directory": "disk"}),
            "bucket.yml": storage("filesystem", {"root_directory": "bucket"}),
            "layers.yml": layers,
            "aws-config": profile,
            "disk.img": "." * 1000,
        },
        replaced={"https://s3.eu-west-1.amazonaws.com": site.moto},
        before=("storagedriver put -c disk.yml disk.img /registry/disk.img",),
        environment={"AWS_CONFIG_FILE": site / "aws-config"},
        statuses={"storagedriver doctor layers.yml": 1},
    )


def _registry(site: Site) -> Scene:
    host, tokens, elsewhere = site.host(0), site.host(1), site.host(2)
    return Scene(
        replaced={
            "registry serve                 #": f"REGISTRY_HTTP_ADDR={host} registry serve    #",
            "127.0.0.1:5000": host,
            "127.0.0.1:5001/token": f"{tokens}/token",
            "users: users": f'addr: "{tokens}"\nusers: users',
            "/etc/registry/htpasswd": site / "htpasswd",
            "/var/lib/registry": site / "root",
        },
        before=(
            f"REGISTRY_HTTP_ADDR={elsewhere} registry serve config.yml &",
            "umoci init --layout img",
            "umoci new --image img:v1",
            f"dist push oci:img:v1 {elsewhere}/library/app:v1",
            "echo signature > signature",
            f"dist attach {elsewhere}/library/app:v1 signature --artifact-type text/plain",
        ),
        answers="secret\nsecret\n",
    )


def _registry_readme(site: Site) -> Scene:
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": "root"}},
        "http": {"addr": site.host()},
    }
    tokens = {
        "addr": site.host(1),
        "issuer": "me",
        "service": "registry",
        "users": "htpasswd",
        "key": "key.pem",
    }
    return Scene(
        files={"config.yml": json.dumps(config), "tokens.yml": json.dumps(tokens)},
        replaced={
            "registry serve                 ": f"REGISTRY_HTTP_ADDR={site.host()} registry serve  "
        },
        answers="secret\nsecret\n",
        around={0: ("", _ASKED.replace("/v2/", "/registry/v2/"))},
    )


def _remote_protocol(site: Site) -> Scene:
    return Scene(
        files={
            "storage.yml": storage("inmemory", {}),
            "tokens": "0123456789abcdef0123456789abcdef\n",
        },
        replaced={"/run/storage.sock": site / "socket", "127.0.0.1:7070": site.host()},
    )


def _remote(site: Site) -> Scene:
    return Scene(
        replaced={
            "/tmp/objects": site / "objects",
            "/tmp/storage.sock": site / "socket",
        },
    )


# What a driver's author has: a harness that is registered by the name `example`, and this class.
_HARNESS = """
from storagedriver_filesystem.harness import FilesystemHarness


def ExampleHarness(directory):
    return FilesystemHarness(directory)


"""


def _suite(site: Site) -> Scene:
    return Scene(
        files={"s3.yml": storage("s3", site.bucket())},
        replaced={
            "storagedriver conformance filesystem": "storagedriver conformance filesystem -k W01",
            "--through retry": "--through retry -k W01",
            '"W33 or resume"': "W01",
            '"example"': '"filesystem"',
            '"kills", [5,': '"kills", [1,',
        },
        around=dict.fromkeys(range(3), (_HARNESS, "")),
        cases="W01 or (killed and not 100)",
    )


def _testsuite(site: Site) -> Scene:
    return Scene(
        replaced={
            "conformance filesystem": "conformance filesystem -k W01",
            "bench filesystem": "bench filesystem -k stat",
        },
        around={0: (_HARNESS, "")},
        cases="W01",
    )


def _first_storage(site: Site) -> Scene:
    return Scene(
        replaced={
            "--port 9000": f"--port {site.host().partition(':')[2]}",
            "127.0.0.1:9000": site.host(),
        }
    )


def _first_registry(site: Site) -> Scene:
    return Scene(
        replaced={
            "--port 9000": f"--port {site.host(2).partition(':')[2]}",
            "127.0.0.1:9000": site.host(2),
            "127.0.0.1:5000": site.host(0),
            "localhost:5000": site.host(0),
            "127.0.0.1:5001": site.host(1),
            "localhost:5001": site.host(1),
        }
    )


def _s3(site: Site) -> Scene:
    parameters = site.bucket()
    return Scene(
        files={"s3.yml": storage("s3", parameters)},
        replaced={
            '{"bucket": "layers", "region": "eu-west-1"}': json.dumps(parameters),
            "conformance s3 -c s3.yml": "conformance s3 -c s3.yml -k W01",
        },
    )


def _gcs(site: Site) -> Scene:
    server = site.gcs("layers")
    return Scene(
        replaced={'"google_default"}': f'"google_default", "endpoint": "{server.url}"}}'},
        environment={"GOOGLE_APPLICATION_CREDENTIALS": str(server.key_file)},
    )


def _azure(site: Site) -> Scene:
    server = site.azurite("layers")
    return Scene(
        replaced={
            "${AZURE_KEY}": server.key,
            "http://127.0.0.1:10000/devstoreaccount1": server.url,
        }
    )


def _fsspec(site: Site) -> Scene:
    return Scene(
        files={"storage.yml": storage("filesystem", {"root_directory": "data"})},
        replaced={"${SFTP_PASSWORD}": "password", "${DAV_PASSWORD}": "password"},
    )


SCENES: Mapping[str, Callable[[Site], Scene]] = {
    "README.md": _readme,
    "docs/client.md": _client,
    "docs/command.md": _command,
    "docs/first-registry.md": _first_registry,
    "docs/first-storage.md": _first_storage,
    "docs/registry.md": _registry,
    "docs/remote-protocol.md": _remote_protocol,
    "docs/running-the-suite.md": _suite,
    "drivers/azure/README.md": _azure,
    "drivers/fsspec/README.md": _fsspec,
    "drivers/gcs/README.md": _gcs,
    "drivers/remote/README.md": _remote,
    "drivers/s3/README.md": _s3,
    "registry/README.md": _registry_readme,
    "testsuite/README.md": _testsuite,
}

# What of `.services/bin` their commands are.
PROGRAMS: Mapping[str, Sequence[str]] = {
    "README.md": ("skopeo", "umoci"),
    "docs/client.md": ("umoci",),
    "docs/first-registry.md": ("skopeo", "umoci", "moto_server"),
    "docs/first-storage.md": ("moto_server",),
    "docs/registry.md": ("skopeo", "umoci"),
}
