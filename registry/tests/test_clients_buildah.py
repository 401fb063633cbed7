"""buildah with every kind of registry."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.tests.client import OCI_INDEX, sha256
from registry.tests.clients import Buildah, Skopeo
from registry.tests.images import Images
from registry.tests.sites import Site, kinds

pytestmark = [pytest.mark.service("buildah", "busybox", "skopeo", "umoci")]

every_kind = pytest.mark.parametrize("site", kinds("buildah"), indirect=True)
# To run something takes root, or ids set aside for the user, which newuidmap gives.
STEPS = {
    "run": 'RUN ["/bin/busybox", "sh", "-c", "echo built > /built"]',
    "copy": "COPY built /built",
}
STEP = "run" if os.geteuid() == 0 or shutil.which("newuidmap") else "copy"


@pytest.fixture(scope="module")
def images(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(program, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def base(images: Images) -> str:
    return images.make_runnable("base")


@pytest.fixture(scope="module")
def image(images: Images) -> str:
    return images.make("image", (1, 300_000))


@pytest.fixture(scope="module")
def other_image(images: Images) -> str:
    return images.make("other", (2,))


@pytest.fixture
def skopeo(program: Callable[[str], str], site: Site, tmp_path: Path) -> Skopeo:
    skopeo = Skopeo(program("skopeo"), site, tmp_path / "skopeo")
    skopeo.login()
    return skopeo


@pytest.fixture
def buildah(program: Callable[[str], str], site: Site, tmp_path: Path) -> Buildah:
    """It has logged in, where that is needed."""
    buildah = Buildah(program("buildah"), site, tmp_path / "buildah")
    buildah.login()
    return buildah


@every_kind
def test_pulled_image_is_the_one_that_was_pushed(
    site: Site, buildah: Buildah, skopeo: Skopeo, images: Images, image: str
) -> None:
    remote = f"docker://{site.host}/{site.name()}:v1"
    skopeo.copy(image, remote)
    pulled = buildah.run("pull", "--quiet", *buildah.trust(), remote).strip()
    inspected = json.loads(buildah.run("inspect", "--type=image", pulled))
    assert inspected["FromImageDigest"] == images.digest(image)


@every_kind
@pytest.mark.parametrize("step", [STEP])
def test_image_is_built_on_one_of_the_registry_and_pushed(
    site: Site, buildah: Buildah, skopeo: Skopeo, base: str, tmp_path: Path, step: str
) -> None:
    name = f"{site.host}/{site.name()}"
    skopeo.copy(base, f"docker://{name}:base")
    context = tmp_path / "context"
    context.mkdir()
    (context / "built").write_text("built\n")
    (context / "Containerfile").write_text(f"FROM {name}:base\n{STEPS[step]}\n")
    options = ["--quiet", "--isolation=chroot", *buildah.trust()]
    built = buildah.run("bud", *options, "--tag=built", str(context)).strip()
    digest = tmp_path / "digest"
    push = ["push", "--quiet", *buildah.trust(), f"--digestfile={digest}"]
    buildah.run(*push, "built", f"docker://{name}:built")
    assert skopeo.digest(f"docker://{name}:built") == digest.read_text()
    # Nothing of it is at hand when it is pulled again.
    buildah.run("rmi", "--all", "--force")
    container = buildah.run("from", "--pull-always", *buildah.trust(), f"{name}:built").strip()
    assert json.loads(buildah.run("inspect", container))["FromImageID"] == built
    if step == "run":
        # By its status: on a busy machine it may lose what the program says.
        grep = ["run", "--isolation=chroot", container, "/bin/busybox", "grep", "-qx"]
        buildah.run(*grep, "built", "/built")
        assert buildah.tried(*grep, "other", "/built").returncode == 1


@every_kind
def test_manifest_list_is_pushed_with_its_members(
    site: Site,
    buildah: Buildah,
    skopeo: Skopeo,
    images: Images,
    image: str,
    other_image: str,
    tmp_path: Path,
) -> None:
    name = f"docker://{site.host}/{site.name()}"
    members = {"amd64": image, "arm64": other_image}
    buildah.run("manifest", "create", "several")
    for architecture, member in members.items():
        remote = f"{name}:{architecture}"
        skopeo.copy(member, remote)
        options = [*buildah.trust(), f"--arch={architecture}", "--os=linux"]
        buildah.run("manifest", "add", *options, "several", remote)
    digest, other = tmp_path / "digest", f"docker://{site.host}/{site.name()}:all"
    options = ["--all", *buildah.trust(), f"--digestfile={digest}"]
    buildah.run("manifest", "push", *options, "several", other)
    raw = skopeo.raw(other)
    assert sha256(raw.encode()) == digest.read_text()
    document = json.loads(raw)
    assert document["mediaType"] == OCI_INDEX
    listed = {one["platform"]["architecture"]: one["digest"] for one in document["manifests"]}
    assert listed == {key: images.digest(member) for key, member in members.items()}
    for digest_of_member in listed.values():
        raw = skopeo.raw(f"{other.rpartition(':')[0]}@{digest_of_member}")
        assert sha256(raw.encode()) == digest_of_member


@pytest.mark.parametrize("site", kinds("buildah", guarded=True), indirect=True)
def test_stranger_is_refused(
    program: Callable[[str], str], site: Site, skopeo: Skopeo, image: str, tmp_path: Path
) -> None:
    """Who has not logged in, or does not trust the registry's authority."""
    remote = f"docker://{site.host}/{site.name()}:v1"
    skopeo.copy(image, remote)
    if site.user is not None:
        nobody = Buildah(program("buildah"), site, tmp_path / "nobody")
        message = nobody.refusal("pull", *nobody.trust(), remote)
        assert "unauthorized" in message or "authentication required" in message
        assert "invalid username/password" in nobody.refusal(*nobody.login_command(), text="wrong")
    if site.trusted is not None:
        stranger = Buildah(program("buildah"), site, tmp_path / "stranger", trusting=False)
        message = stranger.refusal("pull", *stranger.trust(), remote)
        assert "certificate signed by unknown authority" in message
