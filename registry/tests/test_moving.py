"""`docs/moving-a-registry.md`, done: from docker-registry on a disk to this registry on S3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from docs.tests.blocks import Command, blocks, commands
from docs.tests.running import replaced
from docs.tests.scenes import Scene
from docs.tests.shell import Shell
from docs.tests.site import Site, flow
from registry.tests.client import Repository, error_codes
from registry.tests.images import Images
from registry.tests.interchange import ACCEPT
from registry.tests.processes import ServerProcess, running

PAGE = "docs/moving-a-registry.md"


class Reader:
    """Somebody who follows the page: gives its commands one after the other, on its files."""

    def __init__(self, site: Site) -> None:
        self.host = site.host()
        scene = Scene(
            replaced={
                "/var/lib/registry": site / "disk",
                "bucket: images, region: eu-west-1": flow(site.bucket()),
                "127.0.0.1:5000": self.host,
            }
        )
        self._commands: list[str] = []
        for block in blocks(PAGE):
            text = replaced(block.text, scene)
            if block.file is not None:
                (site.directory / block.file).write_text(text)
            if block.language == "console":
                self._commands += [command.text for command in commands(text)]
        self.site = site
        self.shell = Shell(site.directory, Path(site / "shell"), site.environment)

    def gives(self, *given: str, prints: str = "…") -> None:
        """Give the next commands of the page, which these have to be."""
        for command in given:
            assert self._commands.pop(0) == command
            self.shell.run(Command(command, tuple(prints.split("\n"))))

    def has_done_all(self) -> bool:
        return not self._commands


@pytest.fixture
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    site = Site(tmp_path, request)
    Path(site / "home").mkdir()
    reader = Reader(site)
    try:
        yield reader
    finally:
        reader.shell.close()
        site.close()


@pytest.mark.service("docker-registry", "skopeo", "umoci")
def test_registry_moves_from_distribution_and_then_to_a_bucket(
    reader: Reader, program: Callable[[str], str], images: Images
) -> None:
    site, host = reader.site, reader.host
    first, second = images.make("first", (10, 3_000_000)), images.make("second", (2_000_000,))
    index = images.make_index("index")
    app = f"docker://{host}/library/app"
    theirs = ServerProcess(
        [program("docker-registry"), "serve", site / "config.yml"],
        *(int(host.rpartition(":")[2]), Path(site / "disk"), Path(site / "theirs.log")),
    )
    with running(theirs), httpx.Client(base_url=f"http://{host}", headers=ACCEPT) as http:
        images.copy(first, f"{app}:v1")
        images.copy(first, f"{app}:latest")
        images.copy(index, f"{app}:all", "--all")
        referrer = push_referrer(Repository(http, "library/app"), images.digest(first))
        reader.gives("registry config check config.yml")
        theirs.stop()

    # From distribution.
    reader.gives("registry doctor config.yml", "registry serve config.yml")
    assert images.digest(f"{app}:v1") == images.digest(first)
    assert referrers(host, images.digest(first)) == []
    reader.gives(
        "registry referrers rebuild config.yml",
        prints="library/app: 5 manifests, 1 with a subject\n5 manifests, 1 with a subject",
    )
    assert referrers(host, images.digest(first)) == [referrer]

    # To the bucket, while it serves.
    reader.gives("storagedriver doctor bucket.yml")
    passed = "--exclude '*/_uploads/*' disk.yml bucket.yml"
    reader.gives(f"storagedriver sync --dry-run {passed}", f"storagedriver sync {passed}")
    images.copy(second, f"{app}:latest")
    images.copy(second, f"docker://{host}/team/new:v1")
    assert httpx.delete(f"http://{host}/v2/library/app/manifests/all").status_code == 202

    # The last pass.
    reader.gives("registry serve readonly.yml")
    refused = httpx.post(f"http://{host}/v2/library/app/blobs/uploads/")
    assert (refused.status_code, error_codes(refused)) == (405, ["UNSUPPORTED"])
    assert images.digest(f"{app}:latest") == images.digest(second)
    whole = f"--delete --checksum {passed}"
    reader.gives(f"storagedriver sync {whole}")
    reader.gives(f"storagedriver sync --dry-run {whole}", prints="would be: … unchanged")

    # And over.
    reader.gives("registry doctor config-s3.yml", "registry serve config-s3.yml")
    reader.gives(f"dist verify {host}/library/app:v1")
    assert reader.has_done_all()
    for tag, image in (("v1", first), ("latest", second)):
        pulled = images.pulled(f"{app}:{tag}", tag)
        assert images.digest(pulled) == images.digest(image)
    assert images.digest(f"docker://{host}/team/new:v1") == images.digest(second)
    assert httpx.get(f"http://{host}/v2/library/app/manifests/all").status_code == 404
    assert referrers(host, images.digest(first)) == [referrer]
    images.copy(first, f"docker://{host}/team/new:v2")


def push_referrer(repository: Repository, subject: str) -> str:
    """Push a manifest that refers to another one, and give its digest."""
    manifest = repository.image(b"signature")
    size = len(repository_manifest(repository, subject))
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest["subject"] = {"mediaType": media_type, "digest": subject, "size": size}
    pushed = repository.push_manifest(manifest, "signature")
    assert pushed.status_code == 201, pushed.text
    return pushed.headers["docker-content-digest"]


def repository_manifest(repository: Repository, digest: str) -> bytes:
    return repository.http.get(repository.url(f"manifests/{digest}")).content


def referrers(host: str, subject: str) -> list[str]:
    """Give the digests of what refers to a manifest."""
    answer = httpx.get(f"http://{host}/v2/library/app/referrers/{subject}")
    assert answer.status_code == 200, answer.text
    return [one["digest"] for one in json.loads(answer.content)["manifests"]]
