"""One directory, or one bucket, served by our server and by Debian's docker-registry."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from registry.tests.client import OCI_MANIFEST, Repository, sha256, unique_name
from registry.tests.images import Images
from registry.tests.interchange import Pair, Section, client, is_unknown_upload, running_pair
from registry.tests.processes import ServerProcess

pytestmark = [pytest.mark.service("docker-registry", "skopeo", "umoci")]


@pytest.fixture(scope="module")
def pair(
    program: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    new_section: Callable[[], Section],
) -> Iterator[Pair]:
    """Servers for the tests that need no others, each in repositories of its own."""
    with running_pair(program, tmp_path_factory.mktemp("pair"), new_section()) as pair:
        yield pair


@pytest.fixture
def section(new_section: Callable[[], Section]) -> Section:
    return new_section()


@pytest.fixture
def pair_of_its_own(
    program: Callable[[str], str], tmp_path: Path, section: Section
) -> Iterator[Pair]:
    with running_pair(program, tmp_path, section) as pair:
        yield pair


@pytest.fixture(params=["ours to theirs", "theirs to ours"])
def pusher_and_puller(
    request: pytest.FixtureRequest, pair: Pair
) -> tuple[ServerProcess, ServerProcess]:
    return (pair.ours, pair.theirs) if request.param == "ours to theirs" else pair[::-1]


@pytest.fixture
def name() -> str:
    return unique_name("inter/change")


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_what_one_stores_the_other_serves(
    pusher_and_puller: tuple[ServerProcess, ServerProcess], images: Images, name: str, form: str
) -> None:
    pusher, puller = pusher_and_puller
    image = images.make("image", (1, 100_000))
    pushed, seen = f"docker://{pusher.host}/{name}:v1", f"docker://{puller.host}/{name}:v1"
    images.copy(image, pushed, "--format", form)
    assert images.digest(seen) == images.digest(pushed)
    back = images.pulled(seen, "back")
    assert images.digest(back) == images.digest(pushed)
    assert images.layers(back) == images.layers(image)
    with client(puller) as http:
        repository = Repository(http, name)
        assert name in http.get("/v2/_catalog").json()["repositories"]
        assert repository.tags().json()["tags"] == ["v1"]
        layer = images.layers(image)[0]
        assert sha256(repository.blob(layer).content) == layer
        assert repository.blob(layer, range="bytes=0-3").status_code == 206


def test_index_of_one_is_served_by_the_other(
    pusher_and_puller: tuple[ServerProcess, ServerProcess],
    images: Images,
    name: str,
    tmp_path: Path,
) -> None:
    pusher, puller = pusher_and_puller
    index = images.make_index("index")
    images.copy(index, f"docker://{pusher.host}/{name}:v1", "--all")
    seen, back = f"docker://{puller.host}/{name}:v1", f"oci:{tmp_path / 'back'}:all"
    images.copy(seen, back, "--all")
    raw = images.skopeo("inspect", index, "--raw")
    assert images.skopeo("inspect", seen, "--raw") == raw
    assert images.skopeo("inspect", back, "--raw") == raw


def test_what_one_deletes_the_other_does_not_serve(
    pusher_and_puller: tuple[ServerProcess, ServerProcess], name: str
) -> None:
    pusher, deleter = pusher_and_puller
    with client(pusher) as first, client(deleter) as second:
        repository = Repository(first, name)
        manifest = repository.push_image("v1")
        blob = repository.push_blob(b"gone")
        for path in (f"manifests/{manifest}", f"blobs/{blob}"):
            assert first.get(repository.url(path)).status_code == 200
            assert second.delete(repository.url(path)).status_code == 202
            assert first.get(repository.url(path)).status_code == 404
        assert first.get(repository.url("manifests/v1")).status_code == 404
        # And what the deletion has left behind takes a new push.
        assert repository.push_image("v1") == manifest
        assert second.get(repository.url("manifests/v1")).status_code == 200


def test_tag_that_we_delete_is_gone_for_both(pair: Pair, section: Section, name: str) -> None:
    with client(pair.ours) as first, client(pair.theirs) as second:
        repository = Repository(second, name)
        digest = repository.push_image("v1")
        assert repository.push_image("v2") == digest
        assert first.delete(repository.url("manifests/v1")).status_code == 202
        for http in (first, second):
            assert http.get(repository.url("manifests/v1")).status_code == 404
            assert http.get(repository.url("manifests/v2")).status_code == 200
            assert http.get(repository.url(f"manifests/{digest}")).status_code == 200
            # SeaweedFS lists a directory whose files are deleted, for two minutes.
            if section is None:
                assert Repository(http, name).tags().json()["tags"] == ["v2"]


def test_docker_registry_takes_no_notice_of_what_is_ours(
    program: Callable[[str], str], tmp_path: Path, section: Section, pair_of_its_own: Pair
) -> None:
    ours, theirs = pair_of_its_own
    with client(ours) as first, client(theirs) as second:
        repository = Repository(first, "re/fer")
        digest = repository.push_image("v1")
        subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1}
        referrer = repository.push_manifest({**repository.image(b"b"), "subject": subject}, "sbom")
        bare = {key: value for key, value in repository.image().items() if key != "mediaType"}
        assert repository.push_manifest(bare, "bare").status_code == 201
        # Both files are there, and nothing more is listed or fails.
        for ours_alone in ("_referrers/**/sha256-*", "_manifests/**/media-type"):
            assert section or list(theirs.data.rglob(f"re/fer/{ours_alone}"))
        assert second.get("/v2/_catalog").json() == {"repositories": ["re/fer"]}
        assert set(Repository(second, "re/fer").tags().json()["tags"]) == {"v1", "sbom", "bare"}
        assert second.get(repository.url("manifests/bare")).status_code == 200
        [config] = tmp_path.glob("docker-registry-*.yml")
        command = [program("docker-registry"), "garbage-collect", str(config)]
        collected = subprocess.run(command, capture_output=True, text=True)
        assert collected.returncode == 0, collected.stderr
        assert "0 blobs and 0 manifests eligible" in collected.stdout + collected.stderr
        # What it deletes we do not list.
        path = repository.url(f"referrers/{digest}")
        listed = [each["digest"] for each in first.get(path).json()["manifests"]]
        assert listed == [referrer.headers["docker-content-digest"]]
        assert second.delete(repository.url(f"manifests/{listed[0]}")).status_code == 202
        assert first.get(path).json()["manifests"] == []


def test_both_list_the_same_in_the_same_pages(pair_of_its_own: Pair) -> None:
    with client(pair_of_its_own.ours) as first, client(pair_of_its_own.theirs) as second:
        for name in ("a", "a/a", "a/b/c", "a-b", "a.b", "a0/b", "z"):
            for tag in ("1.0", "A", "a", "a-b", "a.b", "a_b"):
                Repository(first, name).push_image(tag)
        for path in ("/v2/_catalog", "/v2/_catalog?n=3", "/v2/_catalog?n=2&last=a/b/c"):
            mine, other = first.get(path), second.get(path)
            assert mine.json() == other.json()
            assert ("link" in mine.headers) == ("link" in other.headers)
        # 2.8 gives them as the directory has them; 3.0 sorts them, as we do.
        tags = Repository(second, "a").tags().json()["tags"]
        assert Repository(first, "a").tags().json()["tags"] == sorted(tags)


def test_upload_of_the_other_server_is_unknown_and_unharmed(
    pusher_and_puller: tuple[ServerProcess, ServerProcess], name: str
) -> None:
    beginner, other = pusher_and_puller
    with client(beginner) as first, client(other) as second:
        repository = Repository(first, name)
        location = repository.location(repository.patch(repository.begin(), b"begun"))
        elsewhere = location.replace(beginner.host, other.host)
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            params = dict(httpx.URL(location).params) | {"digest": sha256(b"begun")}
            response = second.request(method, elsewhere, params=params)
            assert is_unknown_upload(other, response), response.text
        whole = b"begun and ended"
        assert repository.finish(location, sha256(whole), b" and ended").status_code == 201
        assert Repository(second, name).blob(sha256(whole)).content == whole
