"""Reading `config.yml`: what is taken, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_registry import load_configuration
from storagedriver_registry.configuration import default_configuration

from storagedriver_core import ConfigurationError

WHOLE = """\
version: 0.1
log:
  level: debug
storage:
  filesystem:
    rootdirectory: /var/lib/registry
    maxthreads: 10
  delete:
    enabled: true
  redirect:
    disable: true
  middleware: [ { retry: { attempts: 2 } } ]
  capabilities: { put_if_absent: false }
  part_size: 1048576
http:
  addr: "[::1]:5001"
  prefix: /registry/
  host: https://registry.example
  relativeurls: true
  secret: confidential
  headers:
    X-Content-Type-Options: [nosniff]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yml"
    path.write_text(text)
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    found = load_configuration(write(tmp_path, WHOLE))
    settings, backend = found.settings, found.backend
    assert settings.version == "0.1"
    assert settings.log.level == "debug"
    assert settings.storage.delete.enabled
    assert settings.storage.redirect.disable
    assert settings.http.address == ("::1", 5001)
    assert settings.http.prefix == "/registry/"
    assert settings.http.host == "https://registry.example"
    assert settings.http.relativeurls
    assert settings.http.headers == {"X-Content-Type-Options": ["nosniff"]}
    assert "confidential" not in repr(found)
    assert backend is not None
    assert backend.to_mapping()["storage"] == {
        "driver": "filesystem",
        "parameters": {"root_directory": "/var/lib/registry", "max_threads": 10},
        "middleware": [{"retry": {"attempts": 2}}],
        "capabilities": {"put_if_absent": False},
        "part_size": 1048576,
    }


def test_what_is_left_out_is_as_distribution_has_it() -> None:
    found = load_configuration({"storage": "inmemory"})
    assert found.backend is not None
    assert found.backend.driver_name == "inmemory"
    assert not found.settings.storage.delete.enabled
    assert not found.settings.storage.redirect.disable
    assert found.settings.log.level == "info"
    assert found.settings.http.address == ("0.0.0.0", 5000)


@pytest.mark.parametrize("parameters", ["", " {}", " { maxthreads: 5 }"])
def test_root_directory_that_no_file_names_is_distributions(
    tmp_path: Path, parameters: str
) -> None:
    found = load_configuration(write(tmp_path, f"storage:\n  filesystem:{parameters}\n"))
    (root,) = (one for one in found.effective() if one.key.endswith("filesystem.root_directory"))
    assert (root.value, root.origin) == ("/var/lib/registry", "distribution's default")


# Source: distribution's documentation of its storage drivers.
OF_DISTRIBUTION = {
    "s3": """\
    accesskey: key
    secretkey: confidential
    region: eu-west-1
    regionendpoint: http://127.0.0.1:9000
    forcepathstyle: true
    accelerate: false
    bucket: layers
    encrypt: true
    keyid: key-of-kms
    secure: true
    v4auth: true
    chunksize: 5242880
    multipartcopychunksize: 33554432
    multipartcopymaxconcurrency: 100
    multipartcopythresholdsize: 33554432
    rootdirectory: /registry
    usedualstack: false
    loglevel: debug
""",
    "gcs": """\
    bucket: layers
    keyfile: /run/secrets/key.json
    rootdirectory: /registry
    chunksize: 5242880
""",
    "azure": """\
    accountname: account
    accountkey: Y29uZmlkZW50aWFs
    container: layers
    realm: core.windows.net
    rootdirectory: /registry
    max_retries: 5
    retry_delay: 100ms
""",
}


@pytest.mark.parametrize("driver", OF_DISTRIBUTION)
def test_parameters_of_cloud_stores_are_spelt_as_distribution_does(
    tmp_path: Path, driver: str
) -> None:
    text = f"storage:\n  {driver}:\n{OF_DISTRIBUTION[driver]}"
    found = load_configuration(write(tmp_path, text))
    assert found.backend is not None
    assert found.backend.driver_name == driver
    parameters = found.backend.to_mapping()["storage"]["parameters"]
    assert parameters["root_directory"] == "/registry"
    assert {"bucket", "container"} & set(parameters)
    assert "confidential" not in repr(found) + str(parameters)


@pytest.mark.parametrize("driver", OF_DISTRIBUTION)
def test_misspelt_parameter_of_a_cloud_store_is_named(tmp_path: Path, driver: str) -> None:
    text = f"storage:\n  {driver}:\n    rootdirectry: /x\n"
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write(tmp_path, text))
    assert f"config.yml:3: storage.{driver}.rootdirectry: unknown key" in str(caught.value)


def test_without_a_file_everything_can_be_tried() -> None:
    found = default_configuration()
    assert found.settings.storage.delete.enabled
    assert found.settings.http.address == ("127.0.0.1", 5000)
    assert found.settings.log.level == "error"
    assert found.backend is not None
    assert found.backend.to_mapping()["storage"] == {
        "driver": "filesystem",
        "parameters": {"root_directory": "registry-data"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("htp: {}", "config.yml:1: htp: unknown key 'htp' (did you mean 'http'?)"),
        ("log:\n  levle: info", "config.yml:2: log.levle: unknown key 'levle' (did you mean"),
        ("version: 0.2", "config.yml:1: version: "),
        ("log: { level: loud }", "config.yml:1: log.level: "),
        ("http: { addr: nowhere }", "config.yml:1: http.addr: "),
        (
            "http: { addr: ':65536' }",
            "config.yml:1: http.addr: a port is at most 65535",
        ),
        ("http: { net: unix, addr: '' }", "config.yml:1: http: net unix needs addr"),
        ("health:\n  file: [ { } ]", "config.yml:2: health.file.0.file: "),
        ("health:\n  http: [ { statuscode: 200 } ]", "config.yml:2: health.http.0.uri: "),
        ("health:\n  tcp: [ { addr: '' } ]", "config.yml:2: health.tcp.0.addr: "),
        ("http: { net: udp }", "config.yml:1: http.net: "),
        ("http: { draintimeout: soon }", "config.yml:1: http.draintimeout: a duration is like 90s"),
        ("http: { draintimeout: -1s }", "config.yml:1: http.draintimeout: a duration is like 90s"),
        ("http: { draintimeout: 1.5 }", "config.yml:1: http.draintimeout: a duration is like 90s"),
        ("http: { draintimeout: 1 h }", "config.yml:1: http.draintimeout: a duration is like 90s"),
        ("http: { tls: { certificate: /c } }", "config.yml:1: http.tls: certificate and key come"),
        ("http: { tls: { clientcas: [/c] } }", "config.yml:1: http.tls: clientcas needs certif"),
        (
            "http: { tls: { letsencrypt: { email: me } } }",
            "config.yml:1: http.tls: letsencrypt is not supported: give certificate and key",
        ),
        ("http: { tls: { ciphersuites: [NONE] } }", "config.yml:1: http.tls.ciphersuites.0: "),
        ("http: { headers: { 'X Y': [a] } }", "config.yml:1: http.headers.X Y"),
        ('http: { headers: { X: ["a\\r\\nY: b"] } }', "config.yml:1: http.headers.X.0: "),
        ("http: { prefix: registry }", "config.yml:1: http.prefix: "),
        (
            "storage:\n  filesytem: {}",
            "config.yml:2: storage.filesytem: unknown driver 'filesytem'",
        ),
        (
            "storage:\n  inmemory: {}\n  delte: {}",
            "config.yml:3: storage.delte: unknown key 'delte' (did you mean 'delete'?)",
        ),
        (
            "storage:\n  inmemory: {}\n  filesystem: {}",
            "config.yml:1: storage: one driver, not several: inmemory (",
        ),
        (
            "storage:\n  filesystem:\n    rootdirectory: /x\n    maxthread: 3",
            "config.yml:4: storage.filesystem.maxthread: unknown key 'maxthread' (did you mean",
        ),
        (
            "storage:\n  inmemory: {}\n  middleware: [ { retyr: {} } ]",
            "config.yml:3: storage.middleware.0.retyr: unknown key 'retyr' (did you mean 'retry'?)",
        ),
        ("[]", "the document is not a mapping"),
        ("log: [", "config.yml:1: "),
    ],
)
def test_mistake_is_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds", "spelt"),
    [
        ("1m30s", 90, "1m30s"),
        ("1.5h", 5400, "1h30m0s"),
        ("168h", 604800, "168h0m0s"),
        ("+2h45m", 9900, "2h45m0s"),
        (".5s", 0.5, "500ms"),
        ("1h0.25s", 3600.25, "1h0m0.25s"),
        ("100us", 0.0001, "100us"),
        ("100µs", 0.0001, "100us"),
        ("1500ns", 0.0000015, "1.5us"),
        ("0", 0, "0s"),
        # A number alone counts nanoseconds.
        (1500000000, 1.5, "1.5s"),
        ("1500000000", 1.5, "1.5s"),
    ],
)
def test_durations_are_read_as_go_does(text: str | int, seconds: float, spelt: str) -> None:
    found = load_configuration({"http": {"draintimeout": text}})
    assert found.settings.http.draintimeout == pytest.approx(seconds)
    assert {one.key: one.value for one in found.effective()}["http.draintimeout"] == spelt


@pytest.mark.parametrize("prefix", ["/hub", "/hub/"])
def test_prefix_needs_no_slash_at_its_end(prefix: str) -> None:
    found = load_configuration({"storage": "inmemory", "http": {"prefix": prefix}})
    assert found.settings.http.prefix == "/hub/"


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_configuration({"htp": {}, "log": {"level": "loud"}, "http": {"addr": 1}})
    assert len(str(caught.value).splitlines()) == 3


def test_secret_is_not_repeated_in_a_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_configuration({"http": {"secret": ["confidential"]}})
    assert "confidential" not in str(caught.value)


def test_dollar_is_a_dollar(tmp_path: Path) -> None:
    """Variables stand for nothing in distribution's files."""
    text = "storage: { filesystem: { rootdirectory: '/data/${HOME}' } }"
    found = load_configuration(write(tmp_path, text))
    assert found.backend is not None
    assert found.backend.to_mapping()["storage"]["parameters"] == {
        "root_directory": "/data/${HOME}"
    }
