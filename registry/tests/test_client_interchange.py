"""`dist` with registries of both kinds, and with what skopeo and oras read and write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oras.client
import pytest

from registry.tests.client import unique_name
from registry.tests.dist import Layout, dist, dist_json
from registry.tests.images import Images
from registry.tests.processes import ServerProcess, docker_registry, running

pytestmark = [pytest.mark.service("skopeo", "docker-registry"), pytest.mark.usefixtures("home")]


@pytest.fixture(scope="module", params=["ours", "docker-registry"])
def host(
    request: pytest.FixtureRequest,
    program: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    if request.param == "ours":
        server: ServerProcess = request.getfixturevalue("server")
        yield server.host
    else:
        folder = tmp_path_factory.mktemp("docker-registry")
        with running(docker_registry(program("docker-registry"), folder)) as other:
            yield other.host


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return Layout(tmp_path_factory.mktemp("layouts") / "layout")


@pytest.fixture(scope="module")
def image(layout: Layout) -> str:
    return layout.name(layout.image(1, 3_000_000), "image")


@pytest.fixture(scope="module")
def index(layout: Layout) -> str:
    return layout.name(layout.index("amd64", "arm64"), "index")


def digest(place: str) -> str:
    found: str = dist_json("inspect", place)["digest"]
    return found


def test_index_with_what_is_attached_goes_round_with_its_digests(
    host: str, index: str, tmp_path: Path
) -> None:
    first, second = (f"{host}/{unique_name()}:v1" for _ in range(2))
    (tmp_path / "note.txt").write_text("note")
    dist("push", index, first)
    assert digest(first) == digest(index)
    attached = dist_json("attach", first, "note.txt:text/plain", "--artifact-type", "a/note")
    again = dist_json("copy", first, second, "--referrers")
    # All blobs are in the registry: none of them goes over.
    assert (again["copied"], again["bytes"], again["digest"]) == (0, 0, digest(index))
    dist("copy", second, "oci:back:v1", "--referrers")
    dist("copy", second, "oci-archive:back.tar:v1", "--referrers")
    for place in (first, second, "oci:back:v1", "oci-archive:back.tar:v1"):
        about = dist_json("inspect", place, "--referrers")
        assert about["digest"] == digest(index)
        assert [one["digest"] for one in about["referrers"]] == [attached["digest"]]
        assert [one["artifactType"] for one in about["referrers"]] == ["a/note"]
        assert dist_json("verify", place, "--referrers")["manifests"] == 4


def test_one_platform_of_an_index_is_an_image(host: str, index: str) -> None:
    name = f"{host}/{unique_name()}"
    dist("push", index, f"{name}:all")
    member = dist_json("inspect", f"{name}:all", "--platform", "linux/arm64")["digest"]
    pulled = dist_json("pull", f"{name}:all", "oci:one:v1", "--platform", "linux/arm64/v8")
    assert pulled["digest"] == member != digest(index)
    assert pulled["manifests"] == 1
    assert dist_json("pull", f"{name}:all", "oci:every:v1", "--all")["digest"] == digest(index)
    assert "amd64" in dist("pull", f"{name}:all", "oci:no:v1", "--platform=windows/amd64", code=3)
    assert not Path("no").exists()


def test_second_push_sends_nothing(host: str, image: str) -> None:
    name = f"{host}/{unique_name()}:v1"
    first, second = dist_json("push", image, name), dist_json("push", image, name)
    assert (first["copied"], first["present"]) == (3, 0)
    assert (second["copied"], second["present"], second["bytes"]) == (0, 3, 0)


def test_skopeo_reads_what_dist_wrote(
    host: str, image: str, index: str, images: Images, tmp_path: Path
) -> None:
    name = f"{host}/{unique_name()}"
    dist("push", image, f"{name}:v1")
    dist("push", index, f"{name}:all")
    assert images.digest(f"docker://{name}:v1") == digest(image)
    for place in ("oci:layout:v1", "oci-archive:a.tar:v1"):
        dist("pull", f"{name}:v1", place)
        images.copy(place, f"dir:{tmp_path / 'copied'}")
        assert images.digest(f"dir:{tmp_path / 'copied'}") == digest(image)
    dist("copy", f"{name}:all", "oci:layout:all")
    images.copy("oci:layout:all", f"oci:{tmp_path / 'all'}:all", "--all")
    assert digest(f"oci:{tmp_path / 'all'}:all") == digest(index)
    dist("pull", f"{name}:v1", "docker-archive:d.tar:example.org/a:v1")
    images.copy("docker-archive:d.tar", "oci:unpacked:v1", "--dest-decompress")
    read = images.skopeo("inspect", "docker-archive:d.tar:example.org/a:v1", "--config")
    assert json.loads(read)["rootfs"] == json.loads(dist("inspect", image, "--config"))["rootfs"]


def test_dist_reads_what_skopeo_wrote(host: str, image: str, images: Images) -> None:
    name = f"{host}/{unique_name()}"
    images.copy(image, f"docker://{name}:v1")
    images.copy(image, "oci-archive:a.tar:v1")
    images.copy(image, "oci:layout:v1")
    for place in (f"{name}:v1", "oci-archive:a.tar:v1", "oci:layout:v1"):
        assert digest(place) == digest(image)
        assert dist_json("verify", place)["wrong"] == []
    images.copy(image, f"docker://{name}:docker", "--format=v2s2")
    copied = dist_json("copy", f"{name}:docker", f"{name}:again")
    assert copied["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert copied["digest"] == images.digest(f"docker://{name}:docker")
    images.copy(image, "docker-archive:d.tar:example.org/a:v1")
    dist("push", "docker-archive:d.tar:example.org/a:v1", f"{name}:loaded")
    config = dist("inspect", f"{name}:loaded", "--config")
    assert config == dist("inspect", f"{name}:docker", "--config")
    images.copy(f"docker://{name}:loaded", "oci:loaded:v1")


def test_oras_reads_what_dist_attached(host: str, image: str, tmp_path: Path) -> None:
    name = f"{host}/{unique_name()}"
    (tmp_path / "note.txt").write_text("note")
    dist("push", image, f"{name}:v1")
    options = ("--artifact-type", "a/note", "--annotation", "k=v=w")
    attached = dist_json("attach", f"{name}:v1", "note.txt:text/plain", *options)["digest"]
    # oras says its types in part: they end here.
    client: Any = oras.client.OrasClient(hostname=host, insecure=True)
    [path] = client.pull(f"{name}@{attached}", outdir=str(tmp_path / "pulled"))
    assert Path(path).name == "note.txt"
    assert Path(path).read_text() == "note"
    manifest = client.get_manifest(f"{name}@{attached}")
    assert manifest["annotations"] == {"k": "v=w"}
    assert manifest["subject"]["digest"] == digest(image)


def test_store_is_a_place_like_any_other(host: str, index: str, tmp_path: Path) -> None:
    Path("store.yml").write_text(
        f"storage: {{driver: filesystem, parameters: {{root_directory: {tmp_path / 'store'}}}}}"
    )
    place = "storage:store.yml:/images/a:v1"
    name = f"{host}/{unique_name()}:v1"
    dist("push", index, name)
    assert dist_json("copy", name, place)["digest"] == digest(index)
    assert dist_json("copy", name, place)["copied"] == 0
    assert dist("tags", "storage:store.yml:/images/a") == "v1\n"
    assert dist_json("verify", place)["manifests"] == 3
    again = f"{host}/{unique_name()}:v2"
    assert dist_json("copy", place, again)["digest"] == digest(index) == digest(again)
    # It is an OCI layout, whoever reads it.
    assert digest(f"oci:{tmp_path / 'store' / 'images' / 'a'}:v1") == digest(index)


def test_repository_is_synchronised(host: str, image: str, index: str) -> None:
    first, second = (f"{host}/{unique_name()}" for _ in range(2))
    dist("push", image, f"{first}:v1")
    dist("push", index, f"{first}:v2")
    dist("push", image, f"{first}:old")
    for target in (second, "oci:mirror"):
        done = dist_json("sync", first, target, "--tags", "v*")
        assert {one["tag"]: one["digest"] for one in done} == {
            "v1": digest(image),
            "v2": digest(index),
        }
        assert not any(one["unchanged"] for one in done)
        assert dist_json("tags", target) == ["v1", "v2"]
        assert all(one["unchanged"] for one in dist_json("sync", first, target, "--tags", "v*"))
    dist("push", index, f"{first}:v1")
    done = dist_json("sync", first, second, "--tags", "v*")
    assert [one["unchanged"] for one in done] == [False, True]


def test_manifest_is_deleted_with_its_tags(host: str, image: str) -> None:
    name = f"{host}/{unique_name()}"
    dist("push", image, f"{name}:v1")
    assert name.partition("/")[2] in dist_json("catalog", host)
    assert dist_json("delete", f"{name}:v1", "--manifest")["deleted"] == digest(image)
    dist("inspect", f"{name}:v1", code=3)
