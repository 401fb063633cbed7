"""What setup and wheels share: the members, and installing packages by uv or else by pip."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"

# uv reads no pip.conf, so what pip was told about this machine's indexes has to be passed on.
_PIP_TO_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


def load_project(folder: Path) -> dict[str, Any]:
    """Returns the parsed pyproject.toml of one member."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def members() -> list[Path]:
    """Returns the folders of all distributions, the root first."""
    patterns = load_project(ROOT)["tool"]["uv"]["workspace"]["members"]
    found = (path for pattern in patterns for path in sorted(ROOT.glob(pattern)))
    return [ROOT, *(path for path in found if (path / "pyproject.toml").is_file())]


def run(*command: str | Path, **options: Any) -> None:
    """Runs a command, and raises when it fails."""
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL, **options)


def output(*command: str | Path) -> str:
    """Returns what a command prints."""
    return subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def install(python: Path, *arguments: str | Path, capture_output: bool = False) -> None:
    """Installs into the environment of `python`, by the first uv that is found, or else by pip.

    Args:
        python: The interpreter of the environment to install into.
        arguments: As `pip install` takes them.
        capture_output: Print nothing; an error has what was said.
    """
    places = (Path(sys.prefix, "bin"), python.parent, ROOT / ".venv" / "bin")
    uv = next((place / "uv" for place in places if (place / "uv").exists()), Path("uv"))
    options = {"capture_output": capture_output, "text": True}
    try:
        environment = _uv_environment(python)
        run(uv, "pip", "install", "--python", python, *arguments, env=environment, **options)
    except (subprocess.CalledProcessError, FileNotFoundError) as exc:
        if not capture_output:
            print(f"uv did not succeed ({exc.__class__.__name__}); trying pip", file=sys.stderr)
        run(python, "-m", "pip", "install", *_without_uv_options(arguments), **options)


def _without_uv_options(arguments: tuple[str | Path, ...]) -> Iterator[str | Path]:
    # pip 23 cannot constrain build requirements by an option.
    skip = False
    for argument in arguments:
        if not skip and argument != "--build-constraint":
            yield argument
        skip = argument == "--build-constraint"


def _uv_environment(python: Path) -> Mapping[str, str]:
    # pip treats all its indexes alike; uv by default stops at the first that knows the name.
    environment = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for line in output(python, "-m", "pip", "config", "list").splitlines():
        key, _, value = line.partition("=")
        variable, separator = _PIP_TO_UV.get(key.rpartition(".")[2], ("", ""))
        if variable:
            environment[variable] = separator.join(str(ast.literal_eval(value)).split())
    return environment | os.environ
