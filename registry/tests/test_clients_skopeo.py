"""skopeo with every kind of registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.tests.client import DOCKER_MANIFEST, OCI_INDEX, sha256
from registry.tests.clients import Skopeo
from registry.tests.images import Images
from registry.tests.sites import Site, kinds

pytestmark = [pytest.mark.service("skopeo", "umoci")]

every_kind = pytest.mark.parametrize("site", kinds("skopeo"), indirect=True)
LAYERS = (1, 3_000_000)


@pytest.fixture(scope="module")
def images(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(program, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def image(images: Images) -> str:
    return images.make("image", LAYERS)


@pytest.fixture(scope="module")
def index(images: Images) -> str:
    return images.make_index("index")


@pytest.fixture
def skopeo(program: Callable[[str], str], site: Site, tmp_path: Path) -> Skopeo:
    """It has logged in, where that is needed."""
    skopeo = Skopeo(program("skopeo"), site, tmp_path / "home")
    skopeo.login()
    return skopeo


@every_kind
def test_image_comes_back_with_the_same_digest(
    site: Site, skopeo: Skopeo, images: Images, image: str, tmp_path: Path
) -> None:
    remote, back = f"docker://{site.host}/{site.name()}:v1", f"dir:{tmp_path / 'back'}"
    skopeo.copy(image, remote)
    skopeo.copy(remote, back)
    assert skopeo.digest(remote) == images.digest(back) == images.digest(image)
    assert len(images.layers(back)) == len(LAYERS)


@every_kind
def test_docker_form_comes_back_with_the_same_digest(
    site: Site, skopeo: Skopeo, images: Images, image: str, tmp_path: Path
) -> None:
    remote, back = f"docker://{site.host}/{site.name()}:v1", f"dir:{tmp_path / 'back'}"
    skopeo.copy(image, remote, "--format=v2s2")
    assert json.loads(skopeo.raw(remote))["mediaType"] == DOCKER_MANIFEST
    skopeo.copy(remote, back)
    assert skopeo.digest(remote) == images.digest(back)
    assert images.layers(back) == images.layers(image)


@every_kind
def test_index_comes_back_with_all_its_members(
    site: Site, skopeo: Skopeo, images: Images, index: str, tmp_path: Path
) -> None:
    name = f"docker://{site.host}/{site.name()}"
    skopeo.copy(index, f"{name}:all", "--all")
    raw = skopeo.raw(f"{name}:all")
    assert raw == images.skopeo("inspect", index, "--raw")
    document = json.loads(raw)
    assert document["mediaType"] == OCI_INDEX
    members = [member["digest"] for member in document["manifests"]]
    assert [sha256(skopeo.raw(f"{name}@{one}").encode()) for one in members] == members
    back = f"oci:{tmp_path / 'back'}:all"
    skopeo.copy(f"{name}:all", back, "--all")
    assert images.skopeo("inspect", back, "--raw") == raw


@every_kind
def test_repository_is_synchronised_there_and_back(
    site: Site, skopeo: Skopeo, images: Images, image: str, tmp_path: Path
) -> None:
    first, second = site.name(), site.name()
    for tag in ("v1", "v2"):
        skopeo.copy(image, f"docker://{site.host}/{first}:{tag}")
    folder = tmp_path / "synchronised"
    folder.mkdir()
    both = skopeo.trust("src", "dest")
    skopeo.run("sync", *both, "--src=docker", "--dest=dir", f"{site.host}/{first}", str(folder))
    copies = sorted(path.name for path in folder.iterdir())
    assert copies == [f"{first.rpartition('/')[2]}:{tag}" for tag in ("v1", "v2")]
    target = f"{site.host}/{second}"
    skopeo.run("sync", *both, "--src=dir", "--dest=docker", str(folder), target)
    [(name, tag), _] = [copy.split(":") for copy in copies]
    assert skopeo.digest(f"docker://{target}/{name}:{tag}") == images.digest(image)


@every_kind
def test_tags_are_listed_inspected_and_deleted(
    site: Site, skopeo: Skopeo, images: Images, image: str, index: str
) -> None:
    name = f"docker://{site.host}/{site.name()}"
    skopeo.copy(image, f"{name}:v1")
    skopeo.copy(index, f"{name}:v2", "--all")
    assert json.loads(skopeo.run("list-tags", *skopeo.trust(), name))["Tags"] == ["v1", "v2"]
    inspected = json.loads(skopeo.run("inspect", *skopeo.trust(), f"{name}:v1"))
    assert inspected["Layers"] == images.layers(image)
    assert inspected["RepoTags"] == ["v1", "v2"]
    skopeo.run("delete", *skopeo.trust(), f"{name}:v1")
    assert "manifest unknown" in skopeo.refusal("inspect", *skopeo.trust(), f"{name}:v1")
    tags = json.loads(skopeo.run("list-tags", *skopeo.trust(), name))["Tags"]
    assert site.without_ghosts(tags, "v1") == ["v2"]


@pytest.mark.parametrize("site", kinds("skopeo", guarded=True), indirect=True)
def test_stranger_is_refused(
    program: Callable[[str], str], site: Site, skopeo: Skopeo, image: str, tmp_path: Path
) -> None:
    """Who has not logged in, or does not trust the registry's authority."""
    remote = f"docker://{site.host}/{site.name()}:v1"
    skopeo.copy(image, remote)
    if site.user is not None:
        nobody = Skopeo(program("skopeo"), site, tmp_path / "nobody")
        assert is_refusal(nobody.refusal(*nobody.copy_command(image, remote)))
        assert is_refusal(nobody.refusal("inspect", *nobody.trust(), remote))
        assert "invalid username/password" in nobody.refusal(*nobody.login_command(), text="wrong")
    if site.trusted is not None:
        stranger = Skopeo(program("skopeo"), site, tmp_path / "stranger", trusting=False)
        message = stranger.refusal(*stranger.copy_command(image, remote))
        assert "certificate signed by unknown authority" in message


def is_refusal(message: str) -> bool:
    return "unauthorized" in message or "authentication required" in message
