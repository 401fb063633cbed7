"""The recipes for containers and services: that what they name is there, and fits together."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from storagedriver_registry.cli import app
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.configuration.models.base import parse_duration
from typer.testing import CliRunner

from registry.tests.deploying import NODES, RECIPES, recipe
from registry.tests.processes import REGISTRY, free_port, our_server, running
from servers.seaweedfs import SeaweedFS
from servers.valkey import Valkey
from storagedriver_core import load_plugins

ROOT = RECIPES.parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load(recipe("compose.yml", {}))
SERVICES: dict[str, Any] = COMPOSE["services"]
KUBERNETES = {
    document["kind"]: document for document in yaml.safe_load_all(recipe("kubernetes.yaml", {}))
}
MADE_BY_HAND = {"./htpasswd", "./tls", "secrets.env"}


def secrets() -> dict[str, str]:
    lines = recipe("secrets.env.example", {}).splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value or "made-for-tests" for name, value in pairs}


def draintime() -> float:
    document = yaml.safe_load(recipe("registry.yml", {}))
    return parse_duration(document["http"]["draintimeout"])


def instructions() -> list[tuple[str, str]]:
    """Give the Dockerfile's instructions, with what they are given."""
    lines = re.sub(r"\\\n\s*", "", recipe("Dockerfile", {})).splitlines()
    found = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return [(name, rest) for name, _, rest in found]


def given(instruction: str) -> str:
    """Give what the last instruction of a name is given."""
    return [rest for name, rest in instructions() if name == instruction][-1]


def test_configuration_of_the_nodes_is_acted_on_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in secrets().items():
        monkeypatch.setenv(name, value)
    configuration = load_configuration(RECIPES / "registry.yml")
    assert configuration.warnings == ()
    secret = configuration.settings.http.secret
    assert secret is not None
    assert secret.get_secret_value() == "made-for-tests"
    assert configuration.backend is not None
    parameters = configuration.backend.parameters.model_dump()
    assert parameters["access_key"].get_secret_value() == "registry"


def test_nobody_is_let_in_without_a_password_and_the_debug_server_is_for_the_machine() -> None:
    document = yaml.safe_load(recipe("registry.yml", {}))
    assert document["auth"]["htpasswd"]["path"] == "/etc/registry/htpasswd"
    assert document["http"]["debug"]["addr"] == "127.0.0.1:5001"
    assert "./htpasswd:/etc/registry/htpasswd:ro" in SERVICES["registry-1"]["volumes"]


def test_compose_names_nothing_that_is_not_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (
                source in COMPOSE["volumes"]
                or source in MADE_BY_HAND
                or (RECIPES / source).exists()
            )
        assert set(service.get("depends_on", ())) <= set(SERVICES)
    assert {SERVICES[node.partition(":")[0]]["build"]["dockerfile"] for node in NODES} == {
        str((RECIPES / "Dockerfile").relative_to(ROOT))
    }
    assert (RECIPES / SERVICES["registry-1"]["build"]["context"]).resolve() == ROOT


def test_compose_fits_together() -> None:
    document = yaml.safe_load(recipe("registry.yml", {}))
    store = document["storage"]["s3"]
    assert set(re.findall(r"^    server (\S+)", recipe("nginx.conf", {}), re.MULTILINE)) == set(
        NODES
    )
    endpoint = urlsplit(store["regionendpoint"])
    assert f"-s3.port={endpoint.port}" in SERVICES[endpoint.hostname]["command"]
    assert document["redis"]["addr"].partition(":")[0] in SERVICES
    assert f"-name {store['bucket']}" in SERVICES["bucket"]["command"][0]
    [identity] = json.loads(recipe("s3.json", {}))["identities"]
    assert all(action.endswith(f":{store['bucket']}") for action in identity["actions"])
    assert list(identity["credentials"][0].values()) == list(secrets().values())[1:]
    stop = SERVICES["registry-1"]["stop_grace_period"]
    assert parse_duration(stop) > draintime()
    assert SERVICES["garbage-collect"]["command"][-1] == "/etc/registry/config.yml"


def test_key_of_the_bucket_may_do_what_the_driver_does_and_nothing_else() -> None:
    section = yaml.safe_load(recipe("registry.yml", {}))["storage"]["s3"]
    bucket, objects = json.loads(recipe("s3-policy.json", {}))["Statement"]
    name = f"arn:aws:s3:::{section['bucket']}"
    assert bucket["Resource"] == name
    assert objects["Resource"] == f"{name}{section['rootdirectory']}/*"
    needed = " ".join(load_plugins().drivers["s3"].permissions.values())
    for statement, on in ((bucket, "the bucket"), (objects, "the objects")):
        assert statement["Effect"] == "Allow"
        assert set(statement["Action"]) == set(re.findall(rf"(s3:\w+) on {on}", needed))


@pytest.mark.service("weed")
def test_seaweedfs_knows_its_options(program: Callable[[str], str]) -> None:
    command = [argument for argument in SERVICES["seaweedfs"]["command"] if argument[0] == "-"]
    done = subprocess.run([program("weed"), "help", "server"], capture_output=True, text=True)
    known = set(re.findall(r"^  (-[\w.]+)", done.stdout + done.stderr, re.MULTILINE))
    assert {argument.partition("=")[0] for argument in command} <= known


class Store(SeaweedFS):
    """The recipe's store: with its identity beside the one that the server needs itself."""

    def _identities(self) -> dict[str, Any]:
        own = super()._identities()
        return {
            "identities": [*own["identities"], *json.loads(recipe("s3.json", {}))["identities"]]
        }


@pytest.mark.large
@pytest.mark.service("weed", "valkey-server")
def test_store_of_the_recipe_gives_its_user_all_that_a_node_needs(
    program: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [making] = SERVICES["bucket"]["command"]
    with Store(tmp_path / "store") as store, Valkey(tmp_path / "valkey") as valkey:
        # Its port of gRPC is not the one that goes by the other's number.
        master = f"127.0.0.1:{store.ports[1]}.{store.ports[6]}"
        assert "weed shell -master=seaweedfs:9333" in making
        command = making.replace("seaweedfs:9333", master).replace("weed ", f"{program('weed')} ")
        for said in ("created bucket", "already exists"):
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0
            assert said in done.stdout
        for name, value in secrets().items():
            monkeypatch.setenv(name, value)
        replaced = {
            "http://seaweedfs:8333": store.url,
            "valkey:6379": valkey.url.removeprefix("redis://"),
            '":5000"': f'"127.0.0.1:{free_port()}"',
            "127.0.0.1:5001": f"127.0.0.1:{free_port()}",
            "/etc/registry/htpasswd": str(tmp_path / "htpasswd"),
        }
        (tmp_path / "htpasswd").write_text("user:$2y$05$" + "a" * 53 + "\n")
        config = tmp_path / "config.yml"
        config.write_text(recipe("registry.yml", replaced))
        examined = CliRunner().invoke(app, ["doctor", "--json", str(config)])
        findings = [json.loads(line) for line in examined.stdout.splitlines()]
        assert {one["step"] for one in findings} >= {"storage: write", "redis", "several nodes"}
        assert [one for one in findings if one["result"] == "failed"] == []
        assert examined.exit_code == 0


def test_image_is_made_of_what_is_there() -> None:
    copied = [rest.split() for name, rest in instructions() if name == "COPY"]
    sources = [source for words in copied if words[0][0] != "-" for source in words[:-1]]
    assert all((ROOT / source).exists() for source in sources)
    install = next(rest for name, rest in instructions() if "pip install" in rest)
    for word in shlex.split(install):
        if word.startswith("./"):
            folder = word.removeprefix("./").partition("[")[0]
            assert folder.split("/")[0] in sources
            assert (ROOT / folder / "pyproject.toml").is_file()
    assert re.fullmatch(r"\d+:\d+", given("USER"))
    assert json.loads(given("CMD"))[-1] == "/etc/registry/config.yml"


def test_health_check_of_the_image_sees_whether_it_is_well(tmp_path: Path) -> None:
    port = free_port()
    text = given("HEALTHCHECK")
    assert "127.0.0.1:5001/" in text
    command = json.loads(text[text.index("[") :].replace("127.0.0.1:5001/", f"127.0.0.1:{port}/"))
    check = [sys.executable, *command[1:]]
    settings = {"http": {"debug": {"addr": f"127.0.0.1:{port}"}}}

    def status() -> int:
        return subprocess.run(check, stderr=subprocess.DEVNULL).returncode

    assert status() != 0
    with running(our_server(tmp_path, settings)):
        assert status() == 0
        httpx.post(f"http://127.0.0.1:{port}/debug/health/down")
        assert status() != 0


@pytest.mark.large
def test_steps_of_the_image_give_a_registry_that_serves(tmp_path: Path) -> None:
    target, context = tmp_path / "opt", tmp_path / "context"
    context.mkdir()
    for name, rest in instructions():
        words = rest.replace("/opt/registry", str(target)).split()
        if name == "COPY" and words[0][0] != "-":
            for source in words[:-1]:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, context / (source if words[-1] != "./" else ""))
        if name == "RUN" and str(target) in rest.replace("/opt/registry", str(target)):
            command = rest.replace("/opt/registry", str(target))
            command = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", command)
            subprocess.run(command, shell=True, check=True, cwd=context)
    environment = {"PATH": os.defpath, **secrets()}
    done = subprocess.run(
        [target / "bin" / "registry", "config", "check", RECIPES / "registry.yml"],
        *(),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'storage.s3.bucket: "registry"' in done.stdout


UNITS = sorted(
    path.name for path in RECIPES.glob("registry*.*") if path.suffix in (".service", ".timer")
)


@pytest.mark.service("systemd-analyze")
def test_units_are_what_systemd_takes(program: Callable[[str], str], tmp_path: Path) -> None:
    assert len(UNITS) == 3
    for name in UNITS:
        text = recipe(name, {})
        # It looks whether there is such a program.
        (tmp_path / name).write_text(text.replace("/opt/registry/bin/registry", REGISTRY))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", *(tmp_path / name for name in UNITS)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_gives_requests_the_time_that_they_have() -> None:
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)s$", recipe("registry.service", {}), re.MULTILINE)
    assert int(seconds) > draintime()


def test_kubernetes_fits_together() -> None:
    deployment, service = KUBERNETES["Deployment"]["spec"], KUBERNETES["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels == service["selector"]
    assert KUBERNETES["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    pod = deployment["template"]["spec"]
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    document = yaml.safe_load(recipe("registry.yml", {}))
    rules = KUBERNETES["Ingress"]["spec"]["rules"]
    assert document["http"]["addr"] == f":{ports['http']}"
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["REGISTRY_HTTP_DEBUG_ADDR"] == f":{ports['debug']}"
    assert environment["REGISTRY_HTTP_HOST"] == f"https://{rules[0]['host']}"
    # Only what clients are for comes in from elsewhere.
    policy = KUBERNETES["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["ingress"] == [{"ports": [{"port": "http"}]}]
    assert service["ports"][0]["targetPort"] in ports
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    [before] = container["lifecycle"]["preStop"]["exec"]["command"][1:]
    assert pod["terminationGracePeriodSeconds"] > draintime() + int(before)
    backend = rules[0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == KUBERNETES["Service"]["metadata"]["name"]
    assert backend["port"]["name"] == service["ports"][0]["name"]
    job = KUBERNETES["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for one in (pod, job):
        check_pod(one)


def check_pod(pod: Mapping[str, Any]) -> None:
    """See that what is mounted is there, and that the command is one of the registry's."""
    volumes = {volume["name"] for volume in pod["volumes"]}
    [container] = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    help_ = CliRunner().invoke(app, [container["args"][0], "--help"])
    assert help_.exit_code == 0
    assert all(word in help_.stdout for word in container["args"][1:-1])
    assert container["args"][-1] == "/etc/registry/config.yml"
