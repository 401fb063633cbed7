"""Links of READMEs lead to what is there. Those of the site are looked at when it is built."""

from __future__ import annotations

import re

import pytest

from docs.tests.blocks import ROOT, pages

_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(#(?P<heading>[\w-]+))?\)")
READMES = [page for page in pages() if page.endswith("README.md")]


def headings(text: str) -> set[str]:
    """Give the anchors of a page's headings, as GitHub and the site make them."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", READMES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in _LINK.finditer(text):
        target = (ROOT / page).parent / match["path"]
        assert target.exists(), match[0]
        if match["heading"]:
            assert match["heading"] in headings(target.read_text(encoding="utf-8")), match[0]


def test_readme_leads_to_the_tutorials() -> None:
    paths = {match["path"] for match in _LINK.finditer((ROOT / "README.md").read_text())}
    assert {"docs/first-storage.md", "docs/first-registry.md", "CHANGELOG.md"} <= paths
