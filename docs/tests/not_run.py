"""What of the documentation no test runs where it stands, and why: all of it is in this table.

A block is named by its first line, a command of a `console` block by itself, without the comment at
its end. ` ```http ` names all blocks of a language on a page.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def _entries(page: str, kind: Kind, reason: str, *what: str) -> Iterator[NotRun]:
    return (NotRun(page, one, kind, reason) for one in what)


_PIP = "packages come from an index; scripts/wheels.py installs each alone from its wheel"
_RECIPES = "registry/tests/test_deploy_recipes.py"

NOT_RUN = (
    *_entries("README.md", "measures", "it is what runs this test", "make test"),
    *_entries(
        "docs/deploying.md",
        "elsewhere",
        _RECIPES,
        "```{literalinclude}",
        "registry garbage-collect registry.yml",
    ),
    *_entries(
        "docs/deploying.md",
        "of another program",
        f"docker; the recipe's parts are tried by {_RECIPES}",
        "$ cd docs/examples/deploy",
    ),
    *_entries(
        "docs/deploying.md",
        "installs",
        f"as root; {_RECIPES} lets systemd read the units",
        "# python3 -m venv /opt/registry && /opt/registry/bin/pip install"
        " storagedriver-registry[redis] storagedriver-s3",
    ),
    *_entries("docs/drivers.md", "elsewhere", "testsuite/tests/test_drivers_page.py", "```console"),
    *_entries(
        "docs/embedding-fastapi.md",
        "elsewhere",
        "registry/tests/test_fastapi_example.py",
        "```console",
        "```{literalinclude}",
    ),
    *_entries(
        "docs/embedding-sync.md",
        "elsewhere",
        "storagedriver_core/tests/test_embedding_sync_page.py",
        "```python",
    ),
    *_entries(
        "docs/examples/flask/README.md",
        "elsewhere",
        "storagedriver_core/tests/test_example_flask.py",
        "```console",
    ),
    *_entries(
        "docs/first-registry.md",
        "installs",
        _PIP,
        "python3 -m venv .venv",
        ". .venv/bin/activate",
        "pip install storagedriver-registry storagedriver-filesystem storagedriver-s3",
        "pip install 'moto[server]'",
    ),
    *_entries(
        "docs/first-storage.md",
        "installs",
        _PIP,
        "python3 -m venv .venv",
        ". .venv/bin/activate",
        "pip install storagedriver-core storagedriver-filesystem storagedriver-s3",
        "pip install 'moto[server]'",
    ),
    *_entries(
        "docs/moving-a-registry.md", "elsewhere", "registry/tests/test_moving.py", "```console"
    ),
    *_entries(
        "docs/registry-speed.md",
        "measures",
        "minutes of load on a machine of its own; benchmarks/tests try it at a small size",
        "$ python -m benchmarks.registry_load --rows manifest-get push-1 --rounds 1",
        "$ python -m benchmarks.registry_load --rows push-1 --rounds 1 --scale 4 \\",
    ),
    *_entries(
        "docs/registry.md",
        "elsewhere",
        "registry/tests/test_clients_skopeo.py",
        "skopeo copy --dest-cert-dir=trusted oci:img:v1 docker://registry.example/test/img:v1",
    ),
    *_entries(
        "docs/registry.md",
        "elsewhere",
        "registry/tests/test_clients_buildah.py",
        "buildah push --cert-dir=trusted b:1 docker://registry.example/test/b:1",
    ),
    *_entries(
        "docs/registry.md",
        "elsewhere",
        "registry/tests/test_clients_oras.py",
        "REQUESTS_CA_BUNDLE=trusted/ca.crt python push.py",
    ),
    *_entries(
        "docs/registry.md",
        "elsewhere",
        "registry/tests/test_doctor.py",
        "registry doctor config.yml",
    ),
    *_entries(
        "docs/remote-protocol.md",
        "elsewhere",
        "drivers/remote/tests/test_protocol_page.py",
        "```http",
        "```json",
    ),
    *_entries(
        "docs/requirements.md",
        "elsewhere",
        "registry/tests/test_requirements_table.py",
        "python -m pytest registry/tests/test_requirements_*.py",
    ),
    *_entries(
        "docs/running-the-suite.md",
        "elsewhere",
        "testsuite/tests/test_ci_examples.py",
        "```{literalinclude}",
    ),
    *_entries("docs/running-the-suite.md", "installs", _PIP, "pip install storagedriver-testsuite"),
    *_entries(
        "docs/tracing.md",
        "installs",
        _PIP,
        "pip install storagedriver-registry[tracing] opentelemetry-distro"
        " opentelemetry-exporter-otlp",
    ),
    *_entries(
        "docs/tracing.md",
        "of another program",
        "opentelemetry-distro, which needs a collector",
        "OTEL_SERVICE_NAME=registry opentelemetry-instrument registry serve config.yml",
    ),
    *_entries(
        "docs/writing-a-driver.md",
        "elsewhere",
        "testsuite/tests/test_tutorial.py",
        "```python",
        "```toml",
    ),
    *_entries(
        "docs/writing-a-driver.md",
        "elsewhere",
        "testsuite/tests/test_strangers_path.py",
        "```console",
        "```yaml",
    ),
    *_entries(
        "drivers/remote/README.md",
        "installs",
        _PIP,
        "pip install storagedriver-remote storagedriver-filesystem",
    ),
    *_entries("testsuite/README.md", "installs", _PIP, "pip install storagedriver-testsuite"),
    *_entries(
        "testsuite/src/storagedriver_testsuite/new/storagedriver-sqlite/README.md",
        "elsewhere",
        "testsuite/tests/test_new.py",
        "storage:",
    ),
    *_entries(
        "testsuite/tests/strict_gcs/README.md",
        "elsewhere",
        "testsuite/tests/strict_gcs/conftest.py",
        "$ python -m testsuite.tests.strict_gcs DIRECTORY PORT",
    ),
)
