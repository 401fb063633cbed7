"""What runs the blocks notices what is wrong with them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from docs.tests.blocks import Block, Command, blocks, commands, pages
from docs.tests.running import run_page
from docs.tests.scenes import Scene
from docs.tests.shell import matches
from storagedriver_core import ConfigurationError

ENVIRONMENT = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath])}
SERVER = "python -u -c 'import time; print(1); print(2); time.sleep(600)' &\n1\n2\n"


def run(directory: Path, *page: tuple[str, str], scene: Scene | None = None) -> None:
    directory.mkdir(exist_ok=True)
    made = [Block("page.md", 1, language, "", text) for language, text in page]
    run_page(made, scene or Scene(), directory, ENVIRONMENT)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ echo one\none\n"),
        ("console", "$ echo one  # of two\n$ cd /\n$ pwd\n/\n"),
        ("console", "$ export VARIABLE=1\n$ echo $VARIABLE\n1\n"),
        ("console", "$ echo \\\n  two lines\ntwo lines\n"),
        ("console", "$ bash -c 'kill -9 $$'\nKilled\n"),
        ("console", f"$ {SERVER}$ echo one\none\n"),
        ("python", "print('one')\n"),
        ("python", "import pytest\n\n\ndef test_one():\n    assert True\n"),
        ("yaml", "storage: { driver: inmemory }\n"),
        ("yaml", "- retry: { attempts: 5 }\n"),
        ("yaml", "http: { addr: 127.0.0.1:5000 }\n"),
        ("yaml", "issuer: a\nservice: b\nusers: c\nkey: d\n"),
        ("json", '{"a": 1}\n'),
        ("toml", "a = 1\n"),
        ("text", "a picture\n"),
        ("{toctree}", "a-page\n"),
    ],
)
def test_block_that_is_right_passes(language: str, text: str, tmp_path: Path) -> None:
    run(tmp_path, (language, text))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ echo one\ntwo\n"),
        ("console", "$ echo one\none\ntwo\n"),
        ("console", "$ false\n"),
        ("console", "$ true\nKilled\n"),
        ("console", "$ false &\n1\n"),
        ("console", "# as-root\n"),
        ("console", ""),
        ("python", "raise SystemExit(1)\n"),
        ("python", "import pytest\n\n\ndef test_one():\n    assert False\n"),
        ("yaml", "http: { hooks: { disabled: true } }\n"),
        ("yaml", "log: { hooks: [ { type: mail } ] }\n"),
        ("yaml", "storage: { driver: inmemory, parameters: { one: 2 } }\n"),
        ("yaml", "- retry: { attempt: 5 }\n"),
        ("yaml", "issuer: a\n"),
        ("json", "{...}\n"),
        ("toml", "a:\n"),
        ("sh", "echo one\n"),
        ("", "one\n"),
        ("{literalinclude}", ""),
    ],
)
def test_block_that_is_wrong_fails(language: str, text: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, ConfigurationError, ValueError)) as caught:
        run(tmp_path, (language, text))
    assert caught.value.__notes__ == ["at page.md:1"]


def test_file_of_a_page_is_there_for_what_stands_above_it(tmp_path: Path) -> None:
    first, second = (("python", f"# one.py\nprint({number})\n") for number in (1, 2))
    run(tmp_path, ("console", "$ python one.py\n1\n"), first, second)


def test_file_that_is_shown_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    first, second = (("python", f"# one.py\nprint({number})\n") for number in (1, 2))
    shown = ("console", "$ python one.py\n2\n")
    run(tmp_path, first, second, shown)
    with pytest.raises(AssertionError):
        run(tmp_path / "other", first, shown)


def test_replacement_that_is_not_on_the_page_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="three"):
        run(tmp_path, ("console", "$ echo one\n"), scene=Scene(replaced={"three": "four"}))


def test_replacement_is_made_in_commands_and_in_what_they_print(tmp_path: Path) -> None:
    run(tmp_path, ("console", "$ echo $((1 + 2)) 1\n4 1\n"), scene=Scene(replaced={"1": "2"}))


def test_command_exits_with_what_the_scene_says(tmp_path: Path) -> None:
    scene = Scene(statuses={"(exit 3)": 3, "true": 3})
    run(tmp_path, ("console", "$ (exit 3)\n"), scene=scene)
    with pytest.raises(AssertionError, match="exit status 0"):
        run(tmp_path / "other", ("console", "$ true\n"), scene=scene)


@pytest.mark.parametrize(
    ("shown", "printed", "right"),
    [
        ("a\n…\nd", "a\nb\nc\nd\n", True),
        ("a\n...", "a\n", True),
        ("a\n…\nd", "a\nb\nc\n", False),
        ("sha256:… is a", "sha256:012 is a\n", True),
        ("a.c", "abc\n", False),
        ("a", "a  \n", True),
        ("a  b", "a    b\n", True),
        ("a b", "ab\n", False),
    ],
)
def test_output_is_compared_but_for_what_is_left_out(shown: str, printed: str, right: bool) -> None:
    assert matches(shown.splitlines(), printed) is right


def test_commands_are_parted_from_what_they_print() -> None:
    assert commands("$ a b  # c\nd\n$ e#f\n") == [Command("a b", ("d",)), Command("e#f", ())]
    assert commands("# a\n") == []


def test_pages_and_their_blocks_are_found() -> None:
    assert {"README.md", "docs/command.md", "drivers/s3/README.md"} <= set(pages())
    assert {block.language for block in blocks("README.md")} == {"console", "python"}
