"""Every code block of the documentation runs, or is in the table of those that do not.

For who writes a page:

- The blocks of a page run in their order, in one directory. One that begins with `# storage.yml` is
  that file, and is there from the beginning; shown again, it takes the place of the first.
- `console`: commands after `$ `, and what they print. `…` or `...` alone stands for any lines, `…`
  in a line for any text; a command without output may print anything. `Killed` is what SIGKILL
  leaves. Commands that serve, or end in `&`, go on until the page ends.
- `python` runs as a program, or by pytest where it imports that. `yaml` is a configuration of a
  storage, of the registry or of its token server. `json` and `toml` are read. `text` is a picture.
- What a page takes for granted (other files, servers, addresses) is in `scenes.py`.
- What cannot be run is in `not_run.py`, with the reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.tests.blocks import ROOT, blocks, commands, pages
from docs.tests.not_run import NOT_RUN
from docs.tests.running import run_page, what_is_not_run
from docs.tests.scenes import PROGRAMS, SCENES, Scene
from docs.tests.site import Site

PAGES = [page for page in pages() if blocks(page)]


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    # Sockets lie in it, whose paths are short.
    with tempfile.TemporaryDirectory(prefix="page-") as directory:
        site = Site(Path(directory), request)
        try:
            yield site
        finally:
            site.close()


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.service(*PROGRAMS.get(page, ()))) for page in PAGES],
)
def test_every_block_of_a_page_runs(page: str, site: Site) -> None:
    scene = SCENES[page](site) if page in SCENES else Scene()
    run_page(blocks(page), scene, site.directory, site.environment)


def test_table_names_what_is_there_once() -> None:
    used = set()
    for page in PAGES:
        for block in blocks(page):
            used.update(what_is_not_run(block))
            for command in commands(block.text) if block.language == "console" else ():
                used.update(what_is_not_run(block, command.text))
    assert sorted(NOT_RUN) == sorted(used)


@pytest.mark.parametrize("test", sorted({x.reason for x in NOT_RUN if x.kind == "elsewhere"}))
def test_what_runs_elsewhere_has_a_test_there(test: str) -> None:
    assert (ROOT / test).is_file()


def test_every_scene_is_of_a_page_with_blocks() -> None:
    assert set(SCENES) | set(PROGRAMS) <= set(PAGES)


def test_driver_of_the_readme_is_short() -> None:
    [driver] = [one for one in blocks("README.md") if "(StorageDriver)" in one.text]
    assert len([line for line in driver.text.splitlines() if line.strip()]) <= 38
