"""What `dist` takes and tells: references, exit codes, credentials, JSON."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from storagedriver_registry.client import (
    ErrorEntry,
    InvalidReferenceError,
    Platform,
    RegistryClient,
    ResponseError,
    SyncRegistryClient,
    parse_reference,
)
from storagedriver_registry.client.commands.failures import exit_code
from storagedriver_registry.client.commands.locations import parse_location
from storagedriver_registry.digest import compute_digest

from registry.tests.authentication import write_users
from registry.tests.client import OCI_MANIFEST, sha256, unique_name
from registry.tests.dist import DIST, Layout, dist, dist_json
from registry.tests.processes import ServerProcess
from storagedriver_core import ChecksumMismatchError, ClosedError, ConfigurationError

pytestmark = pytest.mark.usefixtures("home")

DIGEST = sha256(b"")


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout = Layout(tmp_path / "image")
    return layout.name(layout.image(1000, 1000), "v1")


@pytest.mark.parametrize("option", ["--version", "-v"])
def test_version_is_told(option: str) -> None:
    assert dist(option) == f"dist {version('storagedriver-registry')}\n"


# What is named ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "name", "tag", "digest"),
    [
        ("alpine", "docker.io", "library/alpine", "", None),
        ("alpine:3.22", "docker.io", "library/alpine", "3.22", None),
        ("grafana/loki", "docker.io", "grafana/loki", "", None),
        ("docker.io/alpine", "docker.io", "library/alpine", "", None),
        ("localhost/a", "localhost", "a", "", None),
        ("localhost:5000/a/b:tag", "localhost:5000", "a/b", "tag", None),
        (f"localhost:5000/a/b:t@{DIGEST}", "localhost:5000", "a/b", "t", DIGEST),
        (f"r.example/a@{DIGEST}", "r.example", "a", "", DIGEST),
        ("[::1]:5000/a", "[::1]:5000", "a", "", None),
        ("Host/a", "Host", "a", "", None),
    ],
)
def test_references_are_read_as_docker_reads_them(
    text: str, host: str, name: str, tag: str, digest: str | None
) -> None:
    found = parse_reference(text)
    shown = str(found.digest) if found.digest else None
    assert (found.host, found.name, found.tag, shown) == (host, name, tag, digest)
    assert parse_reference(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "a:",
        "a:b:c",
        "a@",
        "a@sha256:1",
        "r.example/",
        "r.example//a",
        "a/../b",
        "a b",
        "user@host/a",
        "r.example:x/a",
        "r.example:99999/a",
        "http://r.example/a",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "oci:a/b:v1",
        "oci:/a:b/c",
        f"oci:a@{DIGEST}",
        "oci-archive:a.tar",
        "oci-archive:a.tar:v1",
        "docker-archive:a.tar:h:5000/a:v1",
        "storage:s.yml:/",
        "storage:c/s.yml:/a/b:v1",
        "localhost:5000/a:v1",
    ],
)
def test_locations_are_spelled_as_they_are_read(text: str) -> None:
    assert str(parse_location(text)) == text
    assert parse_location("docker://a.example/b") == parse_reference("a.example/b")


@pytest.mark.parametrize(
    ("wanted", "member", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/x86_64", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_platforms_are_told_apart(wanted: str, member: str, runs: bool) -> None:
    assert Platform.parse(wanted).runs(Platform.parse(member)) == runs


# What is told ----------------------------------------------------------------------------------


def test_exit_codes_tell_what_is_wrong(server: ServerProcess, image: str, tmp_path: Path) -> None:
    dist("inspect", f"{server.host}/none/none", code=3)
    dist("tags", f"{server.host}/none/none", code=3)
    assert "Connection refused" in dist("inspect", "127.0.0.1:1/a", code=6)
    dist("inspect", "A//b", code=2)
    dist("inspect", "oci:none:v1", code=3)
    dist("inspect", f"{image}x", code=3)
    dist("pull", image, code=2)
    dist("push", image, "oci:a:v1", code=2)
    dist("copy", image, "storage:none.yml:/a:v1", code=1)
    dist("pull", f"{server.host}/a", "oci:a:v1", "--platform", "linux", code=2)
    [blob] = [
        one
        for one in (tmp_path / "image/blobs/sha256").iterdir()
        if one.stat().st_size > 900 and b"schemaVersion" not in one.read_bytes()
    ][:1]
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert blob.name in dist("verify", image, code=5)
    dist("push", image, f"{server.host}/{unique_name()}:v1", code=5)
    blob.unlink()
    dist("verify", image, code=3)
    assert exit_code(ConfigurationError("x")) == 1
    assert exit_code(ChecksumMismatchError("x")) == 5
    assert exit_code(ResponseError("x", status=400, errors=[ErrorEntry("DIGEST_INVALID")])) == 5


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_directory_that_a_target_shall_be_in_is_not_made(
    image: str, tmp_path: Path, kind: str
) -> None:
    missing = tmp_path / "none"
    target = f"{kind}:{missing}/target"
    said = dist("copy", image, target, code=1)
    assert said == f"dist: {target}: there is no directory {missing}\n"
    assert not missing.exists()
    missing.mkdir()
    dist("copy", image, target)


def test_errors_are_json_if_that_is_wanted(server: ServerProcess) -> None:
    about = json.loads(dist("inspect", f"{server.host}/none/none:v1", "--json", code=3))["error"]
    assert (about["type"], about["status"], about["code"]) == (
        "NotFoundError",
        404,
        "MANIFEST_UNKNOWN",
    )
    assert about["detail"] == {"tag": "v1"} or about["detail"]


def test_pipe_gets_a_line_for_each_blob_and_no_bars(server: ServerProcess, image: str) -> None:
    name = f"{server.host}/{unique_name()}:v1"
    done = subprocess.run([DIST, "push", image, name], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert line.startswith(f"{name}  sha256:")
    assert sum(one.endswith("  copied") for one in done.stderr.splitlines()) == 3
    assert "\x1b" not in done.stderr
    quiet = subprocess.run(
        [DIST, "push", "--quiet", image, name], capture_output=True, text=True, timeout=120
    )
    assert (quiet.stdout, quiet.stderr) == (f"{line}\n", "")


def test_help_names_every_command_and_the_exit_codes() -> None:
    text = dist("--help")
    for command in (
        "push",
        "pull",
        "copy",
        "sync",
        "inspect",
        "tags",
        "catalog",
        "verify",
        "attach",
        "delete",
        "login",
        "logout",
    ):
        assert f"  {command}" in text
        assert "--json" in dist(command, "--help")
    assert "Exit codes: 0 done" in " ".join(text.split())
    assert "HOST/NAME[:TAG][@DIGEST]" in " ".join(text.split())


@pytest.mark.parametrize("wrong", ["more", "fewer", "others"])
def test_configuration_that_is_not_what_its_digest_says_is_not_printed(
    tmp_path: Path, wrong: str
) -> None:
    layout = Layout(tmp_path / "image")
    config = layout.add(b'{"secret": 1}', "application/vnd.oci.image.config.v1+json")
    config["size"] += {"more": -3, "fewer": 3, "others": 0}[wrong]
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
    image = layout.name(layout.add(json.dumps(manifest).encode(), OCI_MANIFEST), "v1")
    if wrong == "others":
        blob = layout.folder / "blobs/sha256" / config["digest"].partition(":")[2]
        blob.write_bytes(b'{"secret": 2}')
    assert "secret" not in dist("inspect", image, "--config", code=5)


def test_configuration_whose_size_is_not_said_is_not_printed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "image")
    config = layout.add(b'{"secret": 1}', "application/vnd.oci.image.config.v1+json")
    del config["size"]
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
    image = layout.name(layout.add(json.dumps(manifest).encode(), OCI_MANIFEST), "v1")
    assert "whose size the manifest does not say" in dist("inspect", image, "--config", code=1)


@pytest.mark.parametrize("layers", [[{"digest": DIGEST}], [1], {"a": 1}])
def test_manifest_that_makes_no_sense_is_an_error(tmp_path: Path, layers: object) -> None:
    layout = Layout(tmp_path / "image")
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}
    image = layout.name(layout.add(json.dumps(document).encode(), OCI_MANIFEST), "v1")
    assert "dist: " in dist("inspect", image, code=1)


def test_other_image_than_the_digest_of_the_target_is_not_copied(
    server: ServerProcess, image: str, tmp_path: Path
) -> None:
    name = f"{server.host}/{unique_name()}"
    digest = dist_json("inspect", image)["digest"]
    for target in (f"{name}@{DIGEST}", f"{name}:v1@{DIGEST}"):
        assert digest in dist("push", image, target, code=5)
    # Not even a blob is there.
    dist("tags", name, code=3)
    dist("push", image, f"{name}:v1@{digest}")
    assert dist_json("tags", name) == ["v1"]


def test_synchronisation_takes_later_signatures_along(
    server: ServerProcess, image: str, tmp_path: Path
) -> None:
    first, second = (f"{server.host}/{unique_name()}" for _ in range(2))
    (tmp_path / "note.txt").write_text("note")
    dist("push", image, f"{first}:v1")
    dist("sync", first, second, "--referrers")
    dist("attach", f"{first}:v1", "note.txt:text/plain", "--artifact-type", "a/note")
    [done] = dist_json("sync", first, second, "--referrers")
    assert (done["copied"], done["unchanged"]) == (0, False)
    [attached] = dist_json("inspect", f"{second}:v1", "--referrers")["referrers"]
    assert attached["artifactType"] == "a/note"


# Who is logged in ------------------------------------------------------------------------------


@pytest.fixture
def guarded(start_server: Callable[..., ServerProcess], tmp_path: Path) -> str:
    users = write_users(tmp_path / "users", {"alice": "wonderland"})
    return start_server({"auth": {"htpasswd": {"realm": "r", "path": str(users)}}}).host


def test_login_is_tried_kept_and_used(guarded: str, image: str, home: Path) -> None:
    name = f"{guarded}/a/b:v1"
    hint = f"(there are no credentials for {guarded}: `dist login {guarded}`)"
    assert dist("push", image, name, code=4).endswith(f" {hint}\n")
    assert hint in json.loads(dist("inspect", name, "--json", code=4))["error"]["message"]
    options = (guarded, "--username", "alice", "--password-stdin")
    said = dist("login", *options, text="wrong\n", code=4)
    assert f"the credentials for {guarded} were refused" in said
    assert "wrong" not in said
    assert hint not in said
    assert not (home / ".docker").exists()
    assert "wonderland" not in dist("login", *options, text="wonderland\n")
    config = home / ".docker" / "config.json"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    dist("push", image, name)
    assert dist_json("tags", name.rpartition(":")[0]) == ["v1"]
    dist("delete", name)
    assert dist("logout", guarded) == f"logged out of {guarded}\n"
    dist("tags", name.rpartition(":")[0], code=4)
    assert dist("logout", guarded) == f"not logged in to {guarded}\n"


# Callers that block ----------------------------------------------------------------------------


def test_blocking_client_does_what_the_other_does(server: ServerProcess, tmp_path: Path) -> None:
    data, config = b"x" * 2_000_000, b"{}"
    (tmp_path / "file").write_bytes(data)
    with SyncRegistryClient(RegistryClient(server.host)) as registry:
        registry.ping()
        repository = registry.repository(unique_name())
        with (tmp_path / "file").open("rb") as file:
            repository.upload_blob(sha256(data), file)
        repository.upload_blob(sha256(config), config)
        assert repository.stat_blob(sha256(data)).size == len(data)
        with repository.open_blob(sha256(data)) as reader:
            assert reader.read(10) == data[:10]
            assert b"".join(reader) == data[10:]
            assert list(reader) == []
        with pytest.raises(ClosedError, match="reader"):
            list(reader)
        assert repository.read_blob(sha256(config)) == config
        descriptor = {"mediaType": "a/b", "digest": sha256(config), "size": len(config)}
        manifest = json.dumps({"schemaVersion": 2, "config": descriptor, "layers": []}).encode()
        digest = repository.put_manifest("v1", manifest).digest
        assert digest == compute_digest(manifest) == repository.head_manifest("v1").digest
        assert repository.get_manifest("v1").data == manifest
        assert list(repository.tags()) == ["v1"]
        assert list(repository.referrers(digest)) == []
        assert repository.name in list(registry.catalog(page_size=2))
        other = registry.repository(unique_name())
        assert other.mount_blob(sha256(data), repository.name)
        repository.delete_manifest(digest)
        repository.delete_blob(sha256(data))
    with pytest.raises(ClosedError, match="client of the registry is closed"):
        registry.ping()


# What is imported ------------------------------------------------------------------------------


def test_client_is_imported_without_the_server_and_the_server_without_the_client() -> None:
    code = (
        "import sys, storagedriver_registry.client.commands.cli\n"
        "names = ('granian', 'bcrypt', 'jwt', 'prometheus_client', 'rich')\n"
        "print([name for name in names if name in sys.modules])\n"
        "print([name for name in sys.modules if name.startswith('storagedriver_registry.')\n"
        "       and name.split('.')[1] not in ('client', 'digest', 'manifest', 'reference')])\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n[]\n"
    code = "import sys, storagedriver_registry.cli; print('aiohttp' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
