"""What of the documentation no test runs where it stands, and why: all of it is in this table.

A block is named by its first line, a command of a `console` block by itself, without the comment at
its end. ` ```http ` names all blocks of a language on a page.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["installs", "elsewhere", "of another program", "measures"]


class NotRun(NamedTuple):
    """A block or command that is not run.

    Attributes:
        page: Where it stands.
        what: Its first line, or the command.
        kind: What keeps it from being run.
        reason: More of that; for `elsewhere` the test that runs it, from the root.
    """

    page: str
    what: str
    kind: Kind
    reason: str


_PIP = "packages come from an index; scripts/wheels.py installs each alone from its wheel"
_TUTORIAL = "testsuite/tests/test_tutorial.py"
_NEW = "testsuite/tests/test_new.py"
_TUTORIAL = "testsuite/tests/test_tutorial.py"
_PATH = "testsuite/tests/test_strangers_path.py"
_FASTAPI = "registry/tests/test_fastapi_example.py"
_CI = "testsuite/tests/test_ci_examples.py"
_FASTAPI = "registry/tests/test_fastapi_example.py"
_FLASK = "storagedriver_core/tests/test_example_flask.py"
_SYNC = "storagedriver_core/tests/test_embedding_sync_page.py"
_RECIPES = "registry/tests/test_deploy_recipes.py"
_PROTOCOL = "drivers/remote/tests/test_protocol_page.py"
_DOCKER = "docker; the recipe's parts are tried by registry/tests/test_deploy_recipes.py"
_LOAD = "minutes of load on a machine of its own; benchmarks/tests try it at a small size"

NOT_RUN = (
    NotRun("README.md", "make test", "measures", "it is what runs this test"),
    NotRun("docs/first-storage.md", "python3 -m venv .venv", "installs", _PIP),
    NotRun("docs/first-storage.md", ". .venv/bin/activate", "installs", _PIP),
    NotRun(
        "docs/first-storage.md",
        "pip install storagedriver-core storagedriver-filesystem storagedriver-s3",
        "installs",
        _PIP,
    ),
    NotRun("docs/first-storage.md", "pip install 'moto[server]'", "installs", _PIP),
    NotRun("docs/first-registry.md", "python3 -m venv .venv", "installs", _PIP),
    NotRun("docs/first-registry.md", ". .venv/bin/activate", "installs", _PIP),
    NotRun(
        "docs/first-registry.md",
        "pip install storagedriver-registry storagedriver-filesystem storagedriver-s3",
        "installs",
        _PIP,
    ),
    NotRun("docs/first-registry.md", "pip install 'moto[server]'", "installs", _PIP),
    NotRun("docs/deploying.md", "```{literalinclude}", "elsewhere", _RECIPES),
    NotRun("docs/deploying.md", "$ cd docs/examples/deploy", "of another program", _DOCKER),
    NotRun(
        "docs/deploying.md",
        "# python3 -m venv /opt/registry && /opt/registry/bin/pip install"
        " storagedriver-registry[redis] storagedriver-s3",
        "installs",
        "as root; registry/tests/test_deploy_recipes.py lets systemd read the units",
    ),
    NotRun("docs/embedding-sync.md", "```python", "elsewhere", _SYNC),
    NotRun("docs/deploying.md", "registry garbage-collect registry.yml", "elsewhere", _RECIPES),
    NotRun("docs/drivers.md", "```console", "elsewhere", "testsuite/tests/test_drivers_page.py"),
    NotRun("docs/embedding-fastapi.md", "```console", "elsewhere", _FASTAPI),
    NotRun("docs/embedding-fastapi.md", "```{literalinclude}", "elsewhere", _FASTAPI),
    NotRun("docs/examples/flask/README.md", "```console", "elsewhere", _FLASK),
    NotRun("docs/running-the-suite.md", "```{literalinclude}", "elsewhere", _CI),
    NotRun("docs/remote-protocol.md", "```http", "elsewhere", _PROTOCOL),
    NotRun("docs/remote-protocol.md", "```json", "elsewhere", _PROTOCOL),
    NotRun(
        "docs/registry-speed.md",
        "$ python -m benchmarks.registry_load --rows manifest-get push-1 --rounds 1",
        "measures",
        _LOAD,
    ),
    NotRun(
        "docs/registry-speed.md",
        "$ python -m benchmarks.registry_load --rows push-1 --rounds 1 --scale 4 \\",
        "measures",
        _LOAD,
    ),
    NotRun(
        "docs/registry.md",
        "skopeo copy --dest-cert-dir=trusted oci:img:v1 docker://registry.example/test/img:v1",
        "elsewhere",
        "registry/tests/test_clients_skopeo.py",
    ),
    NotRun(
        "docs/registry.md",
        "buildah push --cert-dir=trusted b:1 docker://registry.example/test/b:1",
        "elsewhere",
        "registry/tests/test_clients_buildah.py",
    ),
    NotRun(
        "docs/registry.md",
        "REQUESTS_CA_BUNDLE=trusted/ca.crt python push.py",
        "elsewhere",
        "registry/tests/test_clients_oras.py",
    ),
    NotRun(
        "docs/registry.md",
        "registry doctor config.yml",
        "elsewhere",
        "registry/tests/test_doctor.py",
    ),
    NotRun(
        "docs/requirements.md",
        "python -m pytest registry/tests/test_requirements_*.py",
        "elsewhere",
        "registry/tests/test_requirements_table.py",
    ),
    NotRun("docs/deploying.md", "registry garbage-collect registry.yml", "elsewhere", _RECIPES),
    NotRun("docs/embedding-fastapi.md", "```console", "elsewhere", _FASTAPI),
    NotRun("docs/embedding-fastapi.md", "```{literalinclude}", "elsewhere", _FASTAPI),
    NotRun("docs/moving-a-registry.md", "```console", "elsewhere", "registry/tests/test_moving.py"),
    NotRun(
        "docs/running-the-suite.md",
        "```{literalinclude}",
        "elsewhere",
        "testsuite/tests/test_ci_examples.py",
    ),
    NotRun("docs/running-the-suite.md", "pip install storagedriver-testsuite", "installs", _PIP),
    NotRun(
        "docs/tracing.md",
        "pip install storagedriver-registry[tracing] opentelemetry-distro"
        " opentelemetry-exporter-otlp",
        "installs",
        _PIP,
    ),
    NotRun(
        "docs/tracing.md",
        "OTEL_SERVICE_NAME=registry opentelemetry-instrument registry serve config.yml",
        "of another program",
        "opentelemetry-distro, which needs a collector",
    ),
    NotRun("docs/writing-a-driver.md", "```python", "elsewhere", _TUTORIAL),
    NotRun("docs/writing-a-driver.md", "```toml", "elsewhere", _TUTORIAL),
    NotRun("docs/writing-a-driver.md", "```console", "elsewhere", _PATH),
    NotRun("docs/writing-a-driver.md", "```yaml", "elsewhere", _PATH),
    NotRun(
        "testsuite/src/storagedriver_testsuite/new/storagedriver-sqlite/README.md",
        "storage:",
        "elsewhere",
        _NEW,
    ),
    NotRun("testsuite/README.md", "pip install storagedriver-testsuite", "installs", _PIP),
    NotRun(
        "testsuite/tests/strict_gcs/README.md",
        "$ python -m testsuite.tests.strict_gcs DIRECTORY PORT",
        "elsewhere",
        "testsuite/tests/strict_gcs/conftest.py",
    ),
    NotRun(
        "drivers/remote/README.md",
        "pip install storagedriver-remote storagedriver-filesystem",
        "installs",
        _PIP,
    ),
)
