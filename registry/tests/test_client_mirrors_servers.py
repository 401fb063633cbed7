"""`dist` with real registries as mirrors, and skopeo with the same `registries.conf`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from registry.tests.dist import Layout, dist, dist_json
from registry.tests.images import Images
from registry.tests.processes import (
    ServerProcess,
    docker_registry,
    free_port,
    our_server,
    running,
)
from registry.tests.upstreams import Relay, proxy_of, relaying

pytestmark = [pytest.mark.service("docker-registry", "skopeo"), pytest.mark.usefixtures("home")]


class Sites:
    """docker-registry as upstream, and before it our proxy as a mirror.

    Attributes:
        server: The upstream.
        upstream: Where the upstream is asked; what comes there is noted.
        mirror: Where the mirror is asked; what comes there is noted.
        old: A registry that has what it was given, as a mirror that nobody keeps up.
    """

    def __init__(
        self, server: ServerProcess, upstream: Relay, mirror: Relay, old: ServerProcess
    ) -> None:
        self.server = server
        self.upstream = upstream
        self.mirror = mirror
        self.old = old

    @property
    def host(self) -> str:
        return self.upstream.url.removeprefix("http://")

    def forget(self) -> None:
        self.upstream.heal()
        self.mirror.heal()
        for relay in (self.upstream, self.mirror):
            relay.requests.clear()


@pytest.fixture(scope="module")
def all_sites(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sites]:
    folder = tmp_path_factory.mktemp("sites")
    (folder / "old").mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(running(docker_registry(program("docker-registry"), folder)))
        proxy = stack.enter_context(running(proxy_of(server.url, folder / "proxy")))
        old = stack.enter_context(running(our_server(folder / "old")))
        upstream = stack.enter_context(relaying(server.url))
        yield Sites(server, upstream, stack.enter_context(relaying(proxy.url)), old)


@pytest.fixture
def sites(all_sites: Sites) -> Sites:
    all_sites.forget()
    return all_sites


def configure(home: Path, host: str, *mirrors: str, **settings: str) -> None:
    """Write a `registries.conf`, where both programs read it."""
    lines = ["[[registry]]", f'prefix = "{host}"', f'location = "{host}"', "insecure = true"]
    for mirror in mirrors:
        lines += ["[[registry.mirror]]", f'location = "{mirror}"', "insecure = true"]
        lines += [f'{key.replace("_", "-")} = "{value}"' for key, value in settings.items()]
    path = home / ".config" / "containers" / "registries.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def pushed(sites: Sites, name: str, *sizes: int) -> str:
    """Push an image to the upstream, past whoever notes it; give its digest."""
    layout = Layout(Path(f"image-of-{name}"))
    image = layout.name(layout.image(*sizes), "v1")
    digest: str = dist_json("push", image, f"{sites.server.host}/{name}:v1")["digest"]
    return digest


def test_pull_goes_to_the_mirror_alone_with_dist_as_with_skopeo(
    sites: Sites, images: Images, home: Path
) -> None:
    digest = pushed(sites, "team/a", 1000, 2_000_000)
    configure(home, f"{sites.host}/team", f"{_host(sites.mirror)}/team")
    assert dist_json("pull", f"{sites.host}/team/a:v1", "oci:first:v1")["digest"] == digest
    ours = sites.mirror.count("GET", "/v2/team/a/")
    assert ours == 4
    assert sites.upstream.requests == []
    program, *rest = images.copy_command(f"docker://{sites.host}/team/a:v1", "oci:second:v1")
    # Its own home is elsewhere.
    file = home / ".config" / "containers" / "registries.conf"
    subprocess.run([program, "--registries-conf", str(file), *rest], check=True)
    assert sites.mirror.count("GET", "/v2/team/a/") > ours
    assert sites.upstream.requests == []
    assert dist_json("verify", "oci:second:v1")["digest"] == digest


@pytest.mark.parametrize("failure", ["down", "404", "500", "manifest", "layer", "break"])
def test_pull_succeeds_whatever_the_mirror_does(sites: Sites, home: Path, failure: str) -> None:
    name = f"fail/{failure}"
    digest = pushed(sites, name, 2_000_000)
    mirror = _host(sites.mirror)
    if failure == "down":
        mirror = f"127.0.0.1:{free_port()}"
    elif failure in ("404", "500"):
        sites.mirror.answers["/v2/"] = (int(failure), {})
    elif failure == "break":
        sites.mirror.cuts = "/blobs/"
    else:
        sites.mirror.corrupts = "/manifests/" if failure == "manifest" else "/blobs/"
    configure(home, sites.host, mirror)
    pulled = dist_json("pull", f"{sites.host}/{name}:v1", "oci:pulled:v1")
    assert pulled["digest"] == digest
    assert dist_json("verify", "oci:pulled:v1")["wrong"] == []
    assert sites.upstream.count("GET", "/v2/") > 0


def test_all_that_failed_is_named(sites: Sites, home: Path) -> None:
    down = f"127.0.0.1:{free_port()}"
    configure(home, sites.host, down, _host(sites.mirror))
    said = dist("pull", f"{sites.host}/no/such:v1", "oci:pulled:v1", code=3)
    assert f"tried before: {down}: " in said
    assert f"; {_host(sites.mirror)}: GET /v2/no/such/manifests/v1: 404" in said
    # Nor do the others come to it when nobody serves at all.
    sites.upstream.answers["/v2/"] = (503, {})
    assert f"dist: {sites.host}: " in dist("inspect", f"{sites.host}/no/such:v1", code=6)


@pytest.mark.parametrize(("pull", "is_new"), [("all", False), ("digest-only", True)])
def test_tag_is_what_the_mirror_says_only_where_it_is_asked_for_tags(
    sites: Sites, home: Path, pull: str, is_new: bool
) -> None:
    name = f"tags/{pull}"
    before = pushed(sites, name, 1000)
    dist("copy", f"{sites.server.host}/{name}:v1", f"{sites.old.host}/{name}:v1")
    after = pushed(sites, f"{name}-new", 1000)
    dist("copy", f"{sites.server.host}/{name}-new:v1", f"{sites.server.host}/{name}:v1")
    configure(home, sites.host, sites.old.host, pull_from_mirror=pull)
    named = f"{sites.host}/{name}"
    assert dist_json("inspect", f"{named}:v1")["digest"] == (after if is_new else before)
    assert dist_json("inspect", f"{named}@{before}")["digest"] == before
    dist("pull", f"{named}@{after}", "oci:pulled:v1")


def test_mirror_that_is_behind_misleads_no_write(sites: Sites, home: Path) -> None:
    before = pushed(sites, "behind/a", 1000)
    dist("copy", f"{sites.server.host}/behind/a:v1", f"{sites.old.host}/behind/a:v1")
    after = pushed(sites, "behind/new", 1000)
    dist("copy", f"{sites.server.host}/behind/new:v1", f"{sites.server.host}/behind/a:v1")
    # What notes requests takes no writes.
    configure(home, sites.server.host, sites.old.host)
    name = f"{sites.server.host}/behind/a"
    assert dist_json("inspect", f"{name}:v1")["digest"] == before
    Path("note.txt").write_text("note")
    attached = dist_json("attach", f"{name}:v1", "note.txt", "--artifact-type", "a/note")
    assert attached["subject"] == after
    # At the mirror the tag is as it shall be, and at the registry itself it is not yet.
    dist("pull", f"{sites.old.host}/behind/a:v1", "oci:old:v1")
    [done] = dist_json("sync", "oci:old", name)
    assert (done["digest"], done["unchanged"]) == (before, False)
    dist("copy", f"{sites.server.host}/behind/new:v1", f"{name}:v1")
    assert dist_json("delete", f"{name}:v1", "--manifest")["deleted"] == after
    dist("inspect", f"{name}@{after}", code=3)
    dist("inspect", f"{name}@{before}")
    assert dist_json("tags", f"{sites.old.host}/behind/a") == ["v1"]


def _host(relay: Relay) -> str:
    return relay.url.removeprefix("http://")
