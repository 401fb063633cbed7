"""`dist` with registries that want credentials and have certificates of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from storagedriver_registry.client import CertificateError, TLSOptions
from storagedriver_registry.client.addresses import proxy_for
from yarl import URL

from registry.tests.dist import Layout, dist, dist_json
from registry.tests.sites import Kind, Site

GUARDED = [Kind("inmemory", "token", "https"), Kind("filesystem", "htpasswd", "https")]


@pytest.mark.parametrize("site", GUARDED, indirect=True, ids="-".join)
def test_image_goes_to_a_guarded_registry_and_back(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    layout = Layout(tmp_path / "image")
    image = layout.name(layout.image(1000, 2_000_000), "v1")
    first, second = (f"{site.host}/{site.name()}:v1" for _ in range(2))
    assert site.user is not None and site.authority is not None
    name, password = site.user
    trust = ("--ca-file", site.authority)
    # Whose certificate is not trusted is told nothing.
    assert "certificate" in dist("push", image, first, code=1)
    dist("push", image, first, *trust, code=4)
    login = ("login", site.host, "-u", name, "--password-stdin", *trust)
    dist(*login, text="wrong", code=4)
    dist(*login, text=password)
    dist("push", image, first, *trust)
    # For the second repository another token is wanted, and to mount one for both.
    assert dist_json("copy", first, second, *trust)["mounted"] == 3
    digest = dist_json("inspect", image)["digest"]
    certificates = tmp_path / "certs.d" / site.host
    certificates.mkdir(parents=True)
    shutil.copy(site.authority, certificates / "ca.crt")
    folder = ("--certs-dir", tmp_path / "certs.d")
    assert dist_json("pull", second, "oci:back:v1", *folder)["digest"] == digest
    assert dist_json("verify", "oci:back:v1")["wrong"] == []
    dist("delete", second, *folder)


def test_folder_of_certificates_is_read_as_docker_has_it(tmp_path: Path) -> None:
    for name in ("b.crt", "a.crt", "client.cert", "client.key", "other"):
        (tmp_path / name).write_text("no certificate")
    found = TLSOptions.of_folder(tmp_path)
    assert found == TLSOptions(
        (tmp_path / "a.crt", tmp_path / "b.crt"), tmp_path / "client.cert", tmp_path / "client.key"
    )
    with pytest.raises(CertificateError, match=r"a\.crt"):
        found.context()
    assert TLSOptions.of_folder(tmp_path / "none") == TLSOptions()


def test_proxies_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    assert proxy_for(URL("https://r.example/v2/")) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_for(URL("https://r.example/v2/")) == URL("http://proxy.example:3128")
    assert proxy_for(URL("http://r.example/v2/")) is None
    assert proxy_for(URL("https://a.inside.example:5000/v2/")) is None
    assert proxy_for(URL("https://localhost:5000/v2/")) is None
    assert proxy_for(URL("https://127.0.0.2/v2/")) is None
