"""`REGISTRY_*` variables override keys of `config.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry import Configuration, load_configuration
from storagedriver_registry.configuration import default_configuration

from storagedriver_core import ConfigurationError

FILE = """\
version: 0.1
storage:
  filesystem: { rootdirectory: /data }
  delete: { enabled: true }
http:
  addr: :5000
  headers: { X-Content-Type-Options: [nosniff] }
notifications:
  endpoints: [ { name: first, url: "https://one.example/" } ]
log: { level: warn }
"""


def load(folder: Path, text: str = FILE, **variables: str) -> Configuration:
    path = folder / "config.yml"
    path.write_text(text)
    environment = {f"REGISTRY_{name}": value for name, value in variables.items()}
    return load_configuration(path, environment=environment)


def value_of(found: Configuration, key: str) -> Any:
    return {one.key: one.value for one in found.effective()}[key]


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("HTTP_ADDR", "127.0.0.1:7000", "http.addr", "127.0.0.1:7000"),
        ("HTTP_ADDR", '"127.0.0.1:7000"', "http.addr", "127.0.0.1:7000"),
        ("HTTP_RELATIVEURLS", "true", "http.relativeurls", True),
        ("HTTP", "{addr: ':7000'}", "http.addr", ":7000"),
        ("LOG_LEVEL", "DEBUG", "log.level", "debug"),
        ("LOGLEVEL", "debug", "log.level", "warn"),
        (
            "STORAGE_FILESYSTEM_ROOTDIRECTORY",
            "/other",
            "storage.filesystem.root_directory",
            "/other",
        ),
        ("STORAGE_FILESYSTEM_ROOT_DIRECTORY", "/x", "storage.filesystem.root_directory", "/x"),
        ("STORAGE_FILESYSTEM_MAXTHREADS", "9", "storage.filesystem.max_threads", 9),
        ("STORAGE_DELETE_ENABLED", "", "storage.delete.enabled", False),
        ("STORAGE_PART_SIZE", "65536", "storage.part_size", 65536),
        (
            "STORAGE_CAPABILITIES_PUT_IF_ABSENT",
            "false",
            "storage.capabilities.put_if_absent",
            False,
        ),
        ("STORAGE_MIDDLEWARE_0_RETRY_ATTEMPTS", "2", "storage.middleware.0.retry.attempts", 2),
        ("CATALOG_MAXENTRIES", "7", "catalog.maxentries", 7),
        ("AUTH", "{silly: {realm: r, service: s}}", "auth.silly.service", "s"),
        (
            "VALIDATION_MANIFESTS_URLS_ALLOW_0",
            "^https:",
            "validation.manifests.urls.allow",
            ["^https:"],
        ),
        (
            "NOTIFICATIONS_ENDPOINTS_1_URL",
            "https://two.example/",
            "notifications.endpoints.1.url",
            "https://two.example/",
        ),
        (
            "HTTP_HEADERS_X_CONTENT_TYPE_OPTIONS",
            "[other]",
            "http.headers.X-Content-Type-Options",
            ["other"],
        ),
        ("HTTP_HEADERS_X-Frame-Options_0", "deny", "http.headers.x-frame-options", ["deny"]),
    ],
)
def test_variable_overrides_the_file(
    tmp_path: Path, variable: str, value: str, key: str, expected: Any
) -> None:
    found = load(tmp_path, **{variable: value})
    assert value_of(found, key) == expected
    origins = {one.key: one.origin for one in found.effective()}
    if variable not in ("LOGLEVEL", "STORAGE_DELETE_ENABLED"):
        assert origins[key].startswith(f"environment variable REGISTRY_{variable}")


def test_driver_is_replaced_with_all_beside_it(tmp_path: Path) -> None:
    """As in distribution: a variable for a section is the whole of it."""
    found = load(
        tmp_path,
        STORAGE_S3_ACCESSKEY="key",
        STORAGE_S3_SECRETKEY="confidential",
        STORAGE_S3_BUCKET="layers",
        STORAGE="s3",
    )
    assert found.backend is not None
    assert found.backend.driver_name == "s3"
    assert not found.settings.storage.delete.enabled
    assert value_of(found, "storage.s3.bucket") == "layers"
    assert "confidential" not in str(found.effective())


def test_driver_beside_that_of_the_file_is_an_error_with_both_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, STORAGE_S3_BUCKET="layers")
    assert "filesystem (" in str(caught.value)
    assert "s3 (environment variable REGISTRY_STORAGE_S3_BUCKET)" in str(caught.value)


@pytest.mark.parametrize("text", ["storage: s3aws", "storage: { s3aws: { region: file } }"])
def test_driver_s3aws_is_s3(tmp_path: Path, text: str) -> None:
    """distribution has registered its driver by both names."""
    found = load(tmp_path, text, STORAGE_S3AWS_BUCKET="layers", STORAGE_S3AWS_CHUNKSIZE="6000000")
    assert found.backend is not None
    assert found.backend.driver_name == "s3"
    origins = {one.key: (one.value, one.origin) for one in found.effective()}
    variable = "environment variable REGISTRY_STORAGE_S3AWS_BUCKET"
    assert origins["storage.s3.bucket"] == ("layers", variable)
    if "region" in text:
        assert origins["storage.s3.region"] == ("file", f"{tmp_path}/config.yml:1")
    assert [one.split(": ")[1] for one in found.warnings] == ["storage.s3.chunksize"]


def test_driver_s3aws_beside_s3_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"storage\.s3aws"):
        load(tmp_path, "storage: { s3aws: { bucket: images } }", STORAGE_S3_BUCKET="layers")


@pytest.mark.parametrize(
    ("text", "variable", "key", "expected"),
    [
        (
            FILE,
            "STORAGE_FILESYSTEM_ROOTDIRECTORY",
            "storage.filesystem.root_directory",
            "/var/lib/registry",
        ),
        (FILE, "STORAGE_FILESYSTEM", "storage.filesystem.root_directory", "/var/lib/registry"),
        ("log: { fields: { a: b } }\nstorage: inmemory", "LOG_FIELDS_A", "log.fields", {}),
        (f"{FILE}catalog: {{ maxentries: 7 }}", "CATALOG_MAXENTRIES", "catalog.maxentries", 1000),
        (
            "storage: { inmemory: , part_size: 65536 }",
            "STORAGE_PART_SIZE",
            "storage.part_size",
            8 << 20,
        ),
    ],
)
def test_empty_variable_takes_the_value_of_the_file_away(
    tmp_path: Path, text: str, variable: str, key: str, expected: Any
) -> None:
    found = load(tmp_path, text, **{variable: ""})
    assert value_of(found, key) == expected


def test_controller_is_named_and_told_by_variables(tmp_path: Path) -> None:
    found = load(tmp_path, AUTH="htpasswd", AUTH_HTPASSWD_REALM="r", AUTH_HTPASSWD_PATH="/p")
    assert found.auth is not None
    assert (found.auth.spec.name, value_of(found, "auth.htpasswd.path")) == ("htpasswd", "/p")


def test_key_of_a_driver_that_holds_underscores_can_be_set(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "storage: { azure: { accountname: a, container: layers } }",
        STORAGE_AZURE_COPY_POLL_DELAY="2",
        STORAGE_AZURE_CREDENTIALS_CLIENT_ID="id",
    )
    assert value_of(found, "storage.azure.copy_poll_delay") == 2
    assert value_of(found, "storage.azure.credentials.client_id") == "id"


def test_part_of_credentials_can_be_set(tmp_path: Path) -> None:
    text = "storage: { gcs: { bucket: layers, credentials: { type: service_account } } }"
    found = load(tmp_path, text, STORAGE_GCS_CREDENTIALS_PRIVATE_KEY_ID="confidential")
    assert found.backend is not None
    parameters = found.backend.to_mapping(reveal_secrets=True)["storage"]["parameters"]
    assert '"private_key_id": "confidential"' in parameters["credentials"]


def test_items_are_set_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = {f"VALIDATION_MANIFESTS_URLS_DENY_{index}": str(index) for index in range(11)}
    found = load(tmp_path, **dict(reversed(names.items())))
    assert found.settings.validation.manifests.urls.deny == tuple(map(str, range(11)))


def test_origin_of_a_list_names_the_variables_of_its_items(tmp_path: Path) -> None:
    text = "storage: inmemory\nvalidation: { manifests: { urls: { deny: [a, b] } } }\n"
    found = load(tmp_path, text, VALIDATION_MANIFESTS_URLS_DENY_1="c")
    (listed,) = (one for one in found.effective() if one.key == "validation.manifests.urls.deny")
    assert listed.value == ["a", "c"]
    assert listed.origin == (
        f"{tmp_path}/config.yml:2 with environment variable "
        "REGISTRY_VALIDATION_MANIFESTS_URLS_DENY_1"
    )


@pytest.mark.parametrize(
    "variable",
    ["PORT", "PORT_5000_TCP_ADDR", "SERVICE_HOST", "HTTP_PORT", "REDIS_PORT", "AUTH_SERVICE_HOST"],
)
def test_variable_that_names_no_key_is_a_warning(tmp_path: Path, variable: str) -> None:
    """Kubernetes sets them where services are called `registry`, `registry-http` and so on."""
    found = load(tmp_path, **{variable: "tcp://10.0.0.1:5000"})
    assert len(found.warnings) == 1
    assert f"environment variable REGISTRY_{variable} names no key" in found.warnings[0]


def test_close_match_of_a_variable_is_named(tmp_path: Path) -> None:
    assert "(did you mean 'http.secret'?)" in load(tmp_path, HTTP_SECRTE="x").warnings[0]


def test_variable_is_named_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, HTTP_ADDR="nowhere", HTTP_DRAINTIMEOUT="soon", LOG_LEVEL="confidential")
    assert "confidential" not in str(caught.value)
    assert sorted(line.split(": ")[:2] for line in str(caught.value).splitlines()) == [
        ["environment variable REGISTRY_HTTP_ADDR", "http.addr"],
        ["environment variable REGISTRY_HTTP_DRAINTIMEOUT", "http.draintimeout"],
        ["environment variable REGISTRY_LOG_LEVEL", "log.level"],
    ]


@pytest.mark.parametrize("variable", ["STORAGE", "STORAGE_SWIFT_CONTAINER"])
def test_driver_of_the_past_is_an_error(tmp_path: Path, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=r"storage\.swift: this driver is not supported"):
        load(tmp_path, **{variable: "swift"})


def test_variables_are_for_files_and_for_the_built_in_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REGISTRY_HTTP_SECRET", "confidential")
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", "config.yml")
    path = tmp_path / "config.yml"
    path.write_text("storage: inmemory")
    for found in (load_configuration(path), default_configuration()):
        assert found.settings.http.secret is not None
        assert found.warnings == ()
    assert load_configuration({"storage": "inmemory"}).settings.http.secret is None
