"""Pages and pictures that come from the code are what the code says today."""

from __future__ import annotations

from pathlib import Path

import pytest
import reference
from pages.models import keys

from storagedriver_core import load_plugins

ROOT = Path(__file__).resolve().parents[2]

PLUGINS = load_plugins()
MODELS = {
    **{name: spec.parameters for name, spec in PLUGINS.drivers.items()},
    **{name: spec.parameters for name, spec in PLUGINS.middlewares.items()},
}


@pytest.mark.parametrize("name", reference.FILES)
def test_file_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == reference.FILES[name](), "run scripts/reference.py"


@pytest.mark.parametrize("name", MODELS)
def test_every_key_says_what_it_takes_and_means(name: str) -> None:
    for key in keys(MODELS[name]):
        assert key.takes, key.name
        assert key.meaning.endswith((".", "`")), key.name


def test_no_page_is_written_by_hand() -> None:
    for name in reference.FILES:
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert text.startswith("<!-- Written by scripts/reference.py from "), name
