"""The registry's own pluggy project, and the section `auth`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from storagedriver_registry import hooks, hookspecs, load_configuration
from storagedriver_registry.auth.plugins import AuthPlugins, load_auth_plugins

from registry.tests.authentication import token_options, with_registry
from storagedriver_core import ConfigurationError, load_plugins

ROOT = Path(__file__).resolve().parents[2]
HOOKS = [name for name in vars(hookspecs) if name.startswith("storagedriver_")]
SPECS = [name for name in vars(hookspecs) if name.endswith("Spec")]

# A controller that lets in whoever says the password that is in its options.
PLUGIN = """
from pydantic import BaseModel, SecretStr
from storagedriver_registry import (
    AccessCheckError, AccessController, AuthSpec, ChallengeError, Grant, hookimpl
)

class Options(BaseModel, extra="forbid"):
    password: SecretStr

class Controller(AccessController):
    def __init__(self, options):
        self.password = options.password.get_secret_value()

    async def authorize(self, request, accesses):
        said = request.header(b"authorization")
        if said == "bug":
            raise ZeroDivisionError
        if said == "outage":
            raise AccessCheckError("the directory is down")
        if said != self.password:
            raise ChallengeError("Demo", "wrong")
        return Grant("somebody")

@hookimpl
def storagedriver_registry_register_auth():
    return [
        AuthSpec(
            name="{name}", summary="Of a test", factory="{factory}", parameters={model},
            api_version={version},
        )
    ]
"""


def plugin(
    name: str = "demo",
    factory: str = "demo_auth_hooks:Controller",
    model: str = "Options",
    version: str = "(1, 0)",
) -> str:
    values = {"name": name, "factory": factory, "model": model, "version": version}
    return re.sub(r"\{(name|factory|model|version)\}", lambda found: values[found[1]], PLUGIN)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install distributions with a plugin of one module, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    load_auth_plugins.cache_clear()
    load_plugins.cache_clear()
    modules = set(sys.modules)

    def add(distribution: str, source: str, group: str = hookspecs.PROJECT_NAME) -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}_hooks.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[{group}]\nplugin = {module}_hooks\n")

    yield add
    load_auth_plugins.cache_clear()
    load_plugins.cache_clear()
    for name in set(sys.modules) - modules:
        if name.endswith("_hooks"):
            del sys.modules[name]


def test_storagedriver_registry_register_auth_adds_controllers(
    install: Callable[..., None],
) -> None:
    install("demo-auth", plugin())
    plugins = load_auth_plugins()
    assert list(plugins.controllers) == ["demo", "htpasswd", "none", "silly", "token"]
    assert not plugins.problems

    async def ask(http: httpx.AsyncClient) -> None:
        refused = await http.get("/v2/")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Demo")
        headers = {"authorization": "confidential"}
        assert (await http.get("/v2/", headers=headers)).status_code == 200

    with_registry({"demo": {"password": "confidential"}}, ask)


@pytest.mark.parametrize(("said", "status"), [("outage", 400), ("bug", 500)])
def test_controller_that_fails_lets_nobody_in(
    install: Callable[..., None],
    said: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    install("demo-auth", plugin())

    async def ask(http: httpx.AsyncClient) -> None:
        response = await http.get("/v2/_catalog", headers={"authorization": said})
        assert response.status_code == status
        (error,) = response.json()["errors"]
        assert error["code"] == "UNKNOWN"
        assert "directory" not in response.text

    with_registry({"demo": {"password": "confidential"}}, ask)
    assert ("directory is down" in caplog.text) == (said == "outage")


BROKEN = {
    "cannot be imported: ModuleNotFoundError": "import a_module_that_is_not_there",
    "storagedriver_registry_register_auth raised ZeroDivisionError": plugin().replace(
        "    return [\n", "    1 / 0\n    return [\n"
    ),
    "the parameters of auth 'demo' are no pydantic model": plugin(model="dict"),
    "storagedriver-registry has 1.0; upgrade storagedriver-registry": plugin(version="(1, 1)"),
    "auth 'htpasswd' is already registered by storagedriver-registry": plugin(name="htpasswd"),
    "is not of the form 'module:attribute'": plugin(factory="nowhere"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_plugin_is_reported_and_the_others_load(
    install: Callable[..., None], message: str
) -> None:
    install("aaa-broken", BROKEN[message])
    plugins = load_auth_plugins()
    (problem,) = plugins.problems
    assert message in str(problem)
    assert problem.distribution == "aaa-broken"
    assert set(plugins.controllers) == {"htpasswd", "none", "silly", "token"}
    with pytest.raises(ConfigurationError, match="aaa-broken"):
        load_configuration({"auth": {"demo": {}}})


def test_registry_works_beside_all_broken_plugins_at_once(install: Callable[..., None]) -> None:
    packages = [f"broken-{index}" for index, _ in enumerate(BROKEN)]
    for package, source in zip(packages, BROKEN.values(), strict=True):
        install(package, source)
        install(f"{package}-storage", "raise RuntimeError('boom')", "storagedriver")
    install("sound-auth", plugin(name="sound", factory="sound_auth_hooks:Controller"))
    assert sorted(one.distribution for one in load_auth_plugins().problems) == packages

    async def ask(http: httpx.AsyncClient) -> None:
        headers = {"authorization": "confidential"}
        assert (await http.get("/v2/_catalog", headers=headers)).status_code == 200

    with_registry({"sound": {"password": "confidential"}}, ask)


@pytest.mark.parametrize(
    "text",
    ["storage: { acme: {} }", "storage: inmemory\nmiddleware: { storage: [ { name: acme } ] }"],
)
def test_who_names_what_a_broken_package_of_the_storage_has_is_told_its_name(
    install: Callable[..., None], tmp_path: Path, text: str
) -> None:
    install("some-storage", "raise RuntimeError('boom')", "storagedriver")
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path)
    message = "some-storage is installed, but broken: cannot be imported: RuntimeError: boom"
    assert message in str(caught.value)


def test_factory_that_cannot_be_imported_is_told(install: Callable[..., None]) -> None:
    install("demo-auth", plugin(factory="nowhere_at_all:Controller"))
    config = load_configuration({"auth": {"demo": {"password": "x"}}})
    assert config.auth is not None
    with pytest.raises(ConfigurationError, match="pip install --upgrade demo-auth"):
        config.auth.build()


# The section auth ----------------------------------------------------------------------------


def test_without_a_section_nothing_is_checked() -> None:
    assert load_configuration({}).auth is None
    assert load_configuration({"auth": None}).auth is None
    assert load_configuration({"auth": {}}).auth is None


@pytest.mark.parametrize("section", ["none", {"none": None}, {"none": {}}, {"None": {}}])
def test_none_lets_everybody_do_everything(section: Any) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        assert (await http.get("/v2/_catalog")).status_code == 200
        mount = await http.post("/v2/a/blobs/uploads/")
        assert mount.status_code == 202

    with_registry(section, ask)


WHOLE = """\
auth:
  token:
    realm: https://tokens.example/token
    service: registry.example
    issuer: tokens.example
    rootcertbundle: /etc/registry/root.crt
    jwks: /etc/registry/keys.json
    signingalgorithms: [ES256, EdDSA]
    autoredirect: true
    autoredirectpath: /auth
"""


def test_every_option_of_distribution_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(WHOLE)
    auth = load_configuration(path).auth
    assert auth is not None
    assert auth.parameters.model_dump() == {
        "realm": "https://tokens.example/token",
        "service": "registry.example",
        "issuer": "tokens.example",
        "rootcertbundle": "/etc/registry/root.crt",
        "jwks": "/etc/registry/keys.json",
        "signingalgorithms": ("ES256", "EdDSA"),
        "autoredirect": True,
        "autoredirectpath": "/auth",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "auth:\n  htpaswd: {}",
            "config.yml:2: auth.htpaswd: unknown access controller 'htpaswd' "
            "(did you mean 'htpasswd'?); installed: htpasswd, none, silly, token",
        ),
        (
            "auth:\n  htpasswd: {}\n  silly: {}",
            "config.yml:1: auth: one access controller, not several: htpasswd, silly",
        ),
        ("auth: [htpasswd]", "config.yml:1: auth: not a mapping"),
        ("auth:\n  htpasswd: { realm: x }", "config.yml:2: auth.htpasswd.path: required"),
        (
            "auth:\n  htpasswd:\n    realm: x\n    pth: y",
            "config.yml:4: auth.htpasswd.pth: unknown key 'pth' (did you mean 'path'?)",
        ),
        (
            'auth:\n  silly:\n    realm: "a\\r\\nb"\n    service: x',
            "config.yml:3: auth.silly.realm: ",
        ),
        (
            "auth:\n  token: { realm: a, service: b, issuer: c }",
            "config.yml:2: auth.token: one of rootcertbundle and jwks is required",
        ),
        (
            "auth:\n  token:\n    realm: a\n    service: b\n    issuer: c\n    jwks: d\n"
            "    signingalgorithms:\n      - none",
            "config.yml:8: auth.token.signingalgorithms.0: ",
        ),
    ],
)
def test_mistake_is_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path)
    assert message in str(caught.value)


def test_realm_with_quotes_cannot_end_the_header_early() -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        response = await http.get("/v2/")
        header = response.headers["www-authenticate"]
        assert header == r'Bearer realm="a\"b\\",service="s"'

    with_registry({"silly": {"realm": 'a"b\\', "service": "s"}}, ask)


def test_options_of_token_have_defaults() -> None:
    config = load_configuration({"auth": {"token": token_options(jwks="keys.json")}})
    assert config.auth is not None
    assert config.auth.parameters.model_dump()["signingalgorithms"] == ()


# The hook specifications ---------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_marked_typed_described_documented_and_tested(hook: str) -> None:
    function = getattr(hookspecs, hook)
    assert re.fullmatch(r"storagedriver_registry_register_[a-z]+", hook)
    assert hasattr(function, f"{hookspecs.PROJECT_NAME}_spec")
    signature = inspect.signature(function)
    annotations = [parameter.annotation for parameter in signature.parameters.values()]
    assert inspect.Signature.empty not in [*annotations, signature.return_annotation]
    text = inspect.getdoc(function) or ""
    assert "Called" in text
    assert "Returns:" in text
    # What stands there is written from the code; docs/tests/test_reference.py compares it.
    assert f"\n### `{hook}`\n" in (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    assert f"def test_{hook}_" in Path(__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", SPECS)
def test_spec_has_an_entry_in_the_docs(spec: str) -> None:
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    assert f"\n### `{spec}`\n" in page


def test_registry_implements_only_hooks_that_are_specified() -> None:
    implemented = {name for name in vars(hooks) if name.startswith("storagedriver_")}
    assert implemented == set(HOOKS)
    assert isinstance(load_auth_plugins(), AuthPlugins)
