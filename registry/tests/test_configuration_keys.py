"""Every key of distribution's documentation is acted on, or warned about."""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import storagedriver_registry
import yaml
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
middleware.storage: name options.baseurl options.privatekey options.keypairid options.duration \
options.ipfilteredby options.awsregion options.updatefrequency options.iprangesurl \
options.scheme options.host options.trimpathprefix
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


# Every documented key that can stand beside the others, with a value of its kind.
WHOLE = """\
version: 0.1
log:
  accesslog: { disabled: true }
  level: debug
  formatter: json
  fields: { service: registry, environment: tests }
  reportcaller: true
  hooks:
    - type: mail
      disabled: true
      levels: [panic]
      options:
        smtp: { addr: "mail.example:25", username: me, password: confidential, insecure: true }
        from: registry@example.com
        to: [errors@example.com]
loglevel: debug
storage:
  inmemory:
  tag: { concurrencylimit: 8 }
  delete: { enabled: false }
  redirect: { disable: false }
  cache: { blobdescriptor: redis, blobdescriptorsize: 10000 }
  maintenance:
    uploadpurging: { enabled: true, age: 168h, interval: 24h, dryrun: false }
    readonly: { enabled: false }
auth:
  token:
    autoredirect: true
    autoredirectpath: /token
    realm: https://tokens.example/token
    service: registry.example
    issuer: tokens.example
    rootcertbundle: /bundle.pem
    jwks: /keys.json
    signingalgorithms: [EdDSA, HS256]
middleware:
  registry: [ { name: any, options: { foo: bar } } ]
  repository: [ { name: any, options: { foo: bar } } ]
  storage:
    - name: cloudfront
      options:
        baseurl: https://a.example/
        privatekey: /key.pem
        keypairid: K
        duration: 3000s
        ipfilteredby: awsregion
        awsregion: us-east-1, us-east-2
        updatefrequency: 12h
        iprangesurl: https://b.example/ranges.json
    - { name: redirect, options: { baseurl: https://c.example/ } }
    - { name: rewrite, options: { scheme: https, host: d.example, trimpathprefix: /e } }
reporting:
  bugsnag: { apikey: confidential, releasestage: tests, endpoint: "https://b.example" }
  newrelic: { licensekey: confidential, name: registry, verbose: true }
http:
  addr: localhost:5000
  net: tcp
  prefix: /nested/
  host: https://registry.example:5000
  secret: confidential
  relativeurls: false
  draintimeout: 60s
  tls:
    certificate: /certificate.pem
    key: /key.pem
    clientcas: [/ca.pem, /another.pem]
    clientauth: require-and-verify-client-cert
    minimumtls: tls1.2
    ciphersuites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
    letsencrypt:
      cachefile: /cache
      email: me@example.com
      hosts: [registry.example]
      directoryurl: https://acme.example/directory
  debug: { addr: "localhost:5001", prometheus: { enabled: true, path: /metrics } }
  headers: { X-Content-Type-Options: [nosniff] }
  http2: { disabled: false }
  h2c: { enabled: false }
notifications:
  events: { includereferences: true }
  endpoints:
    - name: listener
      disabled: false
      url: https://listener.example/event
      headers: { Authorization: [confidential] }
      timeout: 1s
      threshold: 10
      backoff: 1s
      ignoredmediatypes: [application/octet-stream]
      ignore: { mediatypes: [application/octet-stream], actions: [pull] }
redis:
  tls: { enabled: false, certificate: /c.pem, key: /k.pem, clientcas: [/ca.pem] }
  addr: localhost:6379
  addrs: ["localhost:6379"]
  password: confidential
  db: 0
  dialtimeout: 10ms
  readtimeout: 10ms
  writetimeout: 10ms
  maxidleconns: 16
  poolsize: 64
  connmaxidletime: 300s
  pool: { maxidle: 16, maxactive: 64, idletimeout: 300s }
health:
  storagedriver: { enabled: true, interval: 10s, threshold: 3 }
  file: [ { file: /down, interval: 10s } ]
  http:
    - uri: http://a.example/
      headers: { Authorization: [confidential] }
      statuscode: 200
      timeout: 3s
      interval: 10s
      threshold: 3
  tcp: [ { addr: "redis.example:6379", timeout: 3s, interval: 10s, threshold: 3 } ]
proxy:
  remoteurl: https://remote.example
  username: me
  password: confidential
  exec: { command: helper, lifetime: 1h }
  ttl: 168h
  remotenamespace: namespace
compatibility: { schema1: { signingkeyfile: /key.json, enabled: true } }
validation:
  disabled: false
  enabled: true
  manifests:
    urls: { allow: ['^https://([^/]+\\.)*example/'], deny: ['^https://www\\.example/'] }
    indexes: { platforms: List, platformlist: [ { architecture: amd64, os: linux } ] }
policy: { repository: { classes: [image] } }
catalog: { maxentries: 500 }
tags: { maxtags: 500 }
"""


def given_keys(value: Any, above: str = "") -> Iterator[str]:
    """Give the keys of a document, those of lists' items like those of a mapping."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from (above + name, *given_keys(member, f"{above}{name}."))
    elif isinstance(value, list):
        for item in value:
            yield from given_keys(item, above)


def test_whole_documented_configuration_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(WHOLE)
    keys = set(given_keys(yaml.safe_load(WHOLE)))
    # One driver and one controller, and one spelling of a key, stand beside the others.
    others = tuple(f"storage.{driver}." for driver in ("filesystem", "azure", "gcs", "s3"))
    others += ("storage.cache.layerinfo", "auth.silly.", "auth.htpasswd.")
    assert [key for key in documented() if key not in keys and not key.startswith(others)] == []
    found = load_configuration(path, environment={})
    assert found.settings.http.draintimeout == 60
    assert found.settings.redis.dialtimeout == pytest.approx(0.01)
    assert found.settings.http.tls.enabled
    assert "confidential" not in repr(found) + str(found.effective()) + str(found.warnings)
    # Of what is not acted on, all is warned about, and of the others nothing.
    warned = {warning.split(": ")[1] for warning in found.warnings}
    lines = {line[0] for key in keys if (line := find_support(tuple(key.split(".")))) is not None}
    assert warned == {
        line
        for line in lines
        if SUPPORT[line].state != ACTED_ON.state and SUPPORT[line].asks(_at(path, line))
    }


def _at(path: Path, line: str) -> Any:
    value = yaml.safe_load(path.read_text())
    for name in line.split("."):
        value = value[name]
    return value


NOT_ACTED_ON = """\
reporting:
  bugsnag: { apikey: confidential }
compatibility:
  schema1: { enabled: true }
policy:
  repository: { classes: [image] }
log:
  hooks: [ { type: mail, options: { smtp: { password: confidential }, from: a@b.example } } ]
middleware:
  storage:
    - { name: googlecdn, options: { privatekey: confidential } }
  registry: [ { name: any } ]
proxy:
  remoteurl: https://registry.example
  password: confidential
  remotenamespace: team
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
        "log.hooks",
        "middleware.registry",
        "proxy.remotenamespace",
        "middleware.storage.0.name",
    ]
    assert "confidential" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        "compatibility: { schema1: { enabled: false } }",
        "proxy: { remoteurl: '' }",
        "log: { hooks: }",
        "validation: { enabled: true }",
        "proxy: { username: me }",
        "middleware: { registry: [], repository: }",
        "reporting: { bugsnag: { apikey: '' } }",
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


def test_text_of_digits_is_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        "storage: { s3: { bucket: layers, accesskey: 0123, secretkey: 456 } }\n"
        "http: { secret: 789 }\n"
        "auth: { silly: { realm: 12, service: 1.10 } }\n"
    )
    found = load_configuration(path, environment={"REGISTRY_AUTH_SILLY_REALM": "034"})
    assert found.backend is not None
    parameters = found.backend.to_mapping(reveal_secrets=True)["storage"]["parameters"]
    assert (parameters["access_key"], parameters["secret_key"]) == ("0123", "456")
    listed = {one.key: (one.value, one.origin) for one in found.effective()}
    assert listed["auth.silly.realm"] == ("034", "environment variable REGISTRY_AUTH_SILLY_REALM")
    assert listed["auth.silly.service"] == ("1.10", f"{path}:3")


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("https://a.example:5000", "https://a.example:5000"),
        ("https://a.example/", "https://a.example/"),
        ("https://a.example/b/", "https://a.example/b/"),
        ("https://a.example/b/c", "https://a.example/b/"),
    ],
)
def test_host_is_a_base_as_distribution_has_it(host: str, base: str) -> None:
    assert load(http={"host": host}).settings.http.host == base


def test_old_name_of_the_level_counts_unless_the_new_one_is_given() -> None:
    assert load(loglevel="debug").settings.log.level == "debug"
    assert load(loglevel="debug", log={"level": "WARN"}).settings.log.level == "warn"


def test_limits_below_one_are_the_defaults() -> None:
    settings = load(catalog={"maxentries": 0}, tags={"maxtags": -1}).settings
    assert (settings.catalog.maxentries, settings.tags.maxtags) == (1000, None)
