"""YAML blocks are configurations: each is read by what reads it in a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.token_server.settings import load_settings

from storagedriver_core import load_config


def check(text: str, directory: Path) -> None:
    """Read a configuration of a storage, of the registry, or of its token server; or a part.

    Args:
        text: The block.
        directory: For a file of it.

    Raises:
        ConfigurationError: It is none, or one that is wrong.
        AssertionError: Something of it is not acted on.
    """
    document = yaml.safe_load(text)
    if isinstance(document, list):
        load_config({"storage": {"driver": "inmemory", "middleware": document}})
    elif "driver" in document.get("storage", {}):
        load_config(document)
    elif "issuer" in document:
        file = directory / "tokens-of-the-page.yml"
        file.write_text(text)
        load_settings(file)
    else:
        _check_registry(document)


def _check_registry(document: dict[str, Any]) -> None:
    configuration = load_configuration({"version": 0.1, **document})
    assert configuration.warnings == ()
