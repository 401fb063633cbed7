"""Every key of distribution's documentation is acted on, or warned about."""

from __future__ import annotations

import ast
import runpy
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import storagedriver_registry
from pydantic import BaseModel
from storagedriver_registry import Configuration, load_configuration
from storagedriver_registry.configuration.models import Settings
from storagedriver_registry.configuration.support import ACTED_ON, SUPPORT, find_support

from storagedriver_core import ConfigurationError

# Source: distribution's documentation, "Configuring a registry", "List of configuration options",
# of version 3 and, for what that has no more, of version 2.8; and "Storage drivers".
DOCUMENTED = """\
version
log: accesslog.disabled level formatter fields.service fields.environment reportcaller
log.hooks: type disabled levels options.smtp.addr options.smtp.username options.smtp.password \
options.smtp.insecure options.from options.to
loglevel
storage.filesystem: rootdirectory maxthreads
storage.azure: accountname accountkey container rootdirectory credentials.type \
credentials.clientid credentials.tenantid credentials.secret max_retries retry_delay \
copy_status_poll_max_retry copy_status_poll_delay
storage.gcs: bucket keyfile credentials.type credentials.project_id credentials.private_key_id \
credentials.private_key credentials.client_email credentials.client_id credentials.auth_uri \
credentials.token_uri credentials.auth_provider_x509_cert_url credentials.client_x509_cert_url \
rootdirectory chunksize
storage.s3: accesskey secretkey region regionendpoint forcepathstyle accelerate bucket encrypt \
keyid secure v4auth chunksize multipartcopychunksize multipartcopymaxconcurrency \
multipartcopythresholdsize rootdirectory usedualstack loglevel
storage.inmemory
storage: tag.concurrencylimit delete.enabled redirect.disable cache.blobdescriptor \
cache.blobdescriptorsize cache.layerinfo
storage.maintenance: uploadpurging.enabled uploadpurging.age uploadpurging.interval \
uploadpurging.dryrun readonly.enabled
auth.silly: realm service
auth.token: autoredirect autoredirectpath realm service issuer rootcertbundle jwks signingalgorithms
auth.htpasswd: realm path
middleware.registry: name options.foo
middleware.repository: name options.foo
middleware.storage: name options.baseurl options.privatekey
reporting.bugsnag: apikey releasestage endpoint
reporting.newrelic: licensekey name verbose
http: addr net prefix host secret relativeurls draintimeout headers.X-Content-Type-Options \
http2.disabled h2c.enabled
http.tls: certificate key clientcas clientauth minimumtls ciphersuites letsencrypt.cachefile \
letsencrypt.email letsencrypt.hosts letsencrypt.directoryurl
http.debug: addr prometheus.enabled prometheus.path
notifications.events: includereferences
notifications.endpoints: name disabled url headers timeout threshold backoff ignoredmediatypes \
ignore.mediatypes ignore.actions
redis: addrs addr password db dialtimeout readtimeout writetimeout maxidleconns poolsize \
connmaxidletime pool.maxidle pool.maxactive pool.idletimeout tls.enabled tls.certificate tls.key \
tls.clientcas
health.storagedriver: enabled interval threshold
health.file: file interval
health.http: uri headers statuscode timeout interval threshold
health.tcp: addr timeout interval threshold
proxy: remoteurl username password exec.command exec.lifetime ttl remotenamespace
compatibility.schema1: signingkeyfile enabled
validation: disabled enabled
validation.manifests: urls.allow urls.deny indexes.platforms indexes.platformlist
policy.repository: classes
catalog: maxentries
tags: maxtags
"""


def documented() -> Iterator[str]:
    for line in DOCUMENTED.splitlines():
        section, _, keys = line.partition(":")
        yield from (f"{section}.{key}" for key in keys.split()) if keys else [section]


@pytest.mark.parametrize("key", list(documented()))
def test_documented_key_has_a_line_of_support(key: str) -> None:
    found = find_support(tuple(key.split(".")))
    assert found is not None
    # What will never be has a reason.
    assert found[1].reason or found[1].state != "not acted on"


def keys_of(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Give the keys of a model that hold no others by the model."""
    for name, field in model.model_fields.items():
        key = f"{above}{field.alias or name}"
        inner = next(_models(field.annotation), None)
        yield from [key] if inner is None else keys_of(inner, f"{key}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def test_every_key_that_is_read_has_a_line_of_support() -> None:
    assert [key for key in keys_of(Settings) if find_support(tuple(key.split("."))) is None] == []


def test_every_line_of_support_is_for_a_key() -> None:
    keys = [*documented(), *keys_of(Settings), "storage.azure.maxretries"]
    keys += ["storage.azure.retrydelay", "storage.middleware", "storage.capabilities"]
    keys += ["storage.part_size", "auth"]
    assert [
        line for line in SUPPORT if not any(f"{key}.".startswith(f"{line}.") for key in keys)
    ] == []


def test_key_that_is_acted_on_is_read_somewhere() -> None:
    """Said of each line below a section: its name is an attribute that other code asks for."""
    package = Path(storagedriver_registry.__file__).parent
    read = {
        node.attr
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    of_settings = [
        key
        for key in keys_of(Settings)
        if (found := find_support(tuple(key.split(".")))) and found[1].state == ACTED_ON.state
    ]
    # The version says how to read, `loglevel` is renamed, and the core reads middlewares.
    others = ("version", "loglevel", "middleware.storage")
    unread = [
        key
        for key in of_settings
        if key.rpartition(".")[2] not in read and not key.startswith(others)
    ]
    assert unread == []


def warnings_of(folder: Path, text: str, **environment: str) -> list[str]:
    path = folder / "config.yml"
    path.write_text("storage: inmemory\n" + text)
    loaded = load_configuration(path, environment=environment)
    return [warning.removeprefix(f"{folder}/") for warning in loaded.warnings]


NOT_ACTED_ON = """\
reporting:
  bugsnag: { apikey: confidential }
compatibility:
  schema1: { enabled: true }
policy:
  repository: { classes: [image] }
notifications:
  endpoints:
    - name: listener
      url: https://listener.example/
      headers: { Authorization: [confidential] }
      timeout: 1s
log:
  hooks: [ { type: mail, options: { smtp: { password: confidential }, from: a@b.example } } ]
health:
  storagedriver: { enabled: true }
  tcp:
    - addr: redis:6379
middleware:
  storage:
    - { name: cloudfront, options: { privatekey: confidential } }
  registry: [ { name: any } ]
proxy:
  remoteurl: https://registry.example
  password: confidential
http:
  debug: { addr: localhost:5001 }
"""


def test_what_is_not_acted_on_is_warned_of_with_line_and_key(tmp_path: Path) -> None:
    found = warnings_of(tmp_path, NOT_ACTED_ON)
    places = [warning.split(": ")[:2] for warning in found]
    lines = NOT_ACTED_ON.splitlines()
    for place, key in places:
        file, _, number = place.partition(":")
        assert file == "config.yml"
        # The first line of the file is the storage's.
        name = [part for part in key.split(".") if not part.isdecimal()][-1]
        assert f"{name}:" in lines[int(number) - 2]
    assert [key for _, key in places] == [
        "reporting",
        "compatibility.schema1.enabled",
        "policy.repository.classes",
        "notifications",
        "log.hooks",
        "health.storagedriver",
        "health.tcp",
        "middleware.registry",
        "proxy",
        "http.debug",
        "middleware.storage.0.name",
    ]
    assert "confidential" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        "compatibility: { schema1: { enabled: false } }",
        "health: { storagedriver: { enabled: false, interval: 10s } }",
        "health:",
        "proxy: { remoteurl: '' }",
        "log: { hooks: }",
        "validation: { enabled: true }",
        "proxy: { username: me }",
        "http: { debug: }",
    ],
)
def test_what_asks_for_nothing_is_not_warned_of(tmp_path: Path, text: str) -> None:
    assert warnings_of(tmp_path, text) == []


@pytest.mark.parametrize("driver", ["swift", "oss"])
def test_drivers_of_the_past_are_an_error_that_names_others(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(f"storage:\n  {driver}:\n    container: layers\n  delete: {{enabled: true}}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, environment={})
    assert str(caught.value).startswith(f"{path}:2: storage.{driver}: this driver is not supported")
    assert "filesystem" in str(caught.value)


def test_middleware_of_the_storage_is_the_core_s(tmp_path: Path) -> None:
    text = """\
storage: inmemory
middleware:
  storage:
    - { name: timeout, options: { operation: 5 } }
    - { name: limit, disabled: true }
    - { name: retry, options: { attempts: 2 } }
"""
    path = tmp_path / "config.yml"
    path.write_text(text)
    found = load_configuration(path, environment={})
    assert found.backend is not None
    # distribution wraps the driver with the first, and that with the next.
    assert [list(one) for one in found.backend.to_mapping()["storage"]["middleware"]] == [
        ["retry"],
        ["timeout"],
    ]
    listed = {one.key: one.origin for one in found.effective()}
    assert listed["middleware.storage.2.options.attempts"] == f"{path}:6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ name: retyr }", "config.yml:3: middleware.storage.0.name: unknown storage middleware"),
        (
            "{ name: retry, options: { attemps: 2 } }",
            "config.yml:3: middleware.storage.0.options.attemps: unknown key 'attemps' (did you",
        ),
        ("{ nam: retry }", "config.yml:3: middleware.storage.0.nam: unknown key 'nam'"),
    ],
)
def test_mistake_in_a_middleware_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(f"storage: inmemory\nmiddleware:\n  storage: [ {text} ]\n")
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, environment={})
    assert message in str(caught.value)


def load(**sections: Any) -> Configuration:
    return load_configuration({"storage": "inmemory", **sections})


def test_keys_without_a_value_are_not_given() -> None:
    found = load(
        storage={
            "s3": {"bucket": "layers", "encrypt": None, "regionendpoint": None},
            "delete": None,
        },
        auth={"silly": {"realm": "r", "service": "s"}},
        http={"addr": None, "prefix": "", "debug": None},
    )
    assert found.backend is not None
    assert found.backend.to_mapping()["storage"]["parameters"] == {"bucket": "layers"}
    assert (found.settings.http.addr, found.settings.http.prefix) == (":5000", "/")


def test_old_name_of_the_level_counts_unless_the_new_one_is_given() -> None:
    assert load(loglevel="debug").settings.log.level == "debug"
    assert load(loglevel="debug", log={"level": "WARN"}).settings.log.level == "warn"


def test_limits_below_one_are_the_defaults() -> None:
    settings = load(catalog={"maxentries": 0}, tags={"maxtags": -1}).settings
    assert (settings.catalog.maxentries, settings.tags.maxtags) == (1000, None)


def test_page_is_what_the_models_give() -> None:
    root = Path(__file__).parents[2]
    written = runpy.run_path(str(root / "scripts" / "registry_configuration.py"))
    page = (root / "docs" / "registry-configuration.md").read_text(encoding="utf-8")
    assert page == written["page"](), "run scripts/registry_configuration.py"
