"""Running all blocks of a page, in their order."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from docs.tests import yaml_blocks
from docs.tests.blocks import Block, Command, commands
from docs.tests.not_run import NOT_RUN, NotRun
from docs.tests.scenes import Scene
from docs.tests.shell import Shell

# Pictures made of letters, answers, what a program logs.
_TEXT = "text"


def what_is_not_run(block: Block, command: str = "") -> list[NotRun]:
    """Give the entries of the table that name a block, or a command of it."""
    names = [command] if command else [block.first_line, f"```{block.language}"]
    return [one for one in NOT_RUN if one.page == block.page and one.what in names]


@contextmanager
def _shell(directory: Path, environment: Mapping[str, str], scene: Scene) -> Iterator[Shell]:
    state = directory / "home" / "state-of-the-shell"
    state.parent.mkdir()
    shell = Shell(directory, state, {**environment, **scene.environment}, scene.answers)
    try:
        yield shell
    finally:
        shell.close()


def run_page(
    page: Sequence[Block], scene: Scene, directory: Path, environment: Mapping[str, str]
) -> None:
    """Run every block of a page that is not in the table of those that are not.

    Args:
        page: Its blocks.
        scene: What is around them.
        directory: Where they run; empty.
        environment: All variables, but for the scene's.

    Raises:
        AssertionError: A block failed, or there is no way to run it.
    """
    page = [block for block in page if not what_is_not_run(block)]
    missing = [old for old in scene.replaced if not any(old in block.text for block in page)]
    assert not missing, f"the page has no {missing}"
    _write_files(page, scene, directory)
    with _shell(directory, environment, scene) as shell:
        for text in scene.before:
            shell.run(Command(text, ()))
        python = 0
        for block in page:
            try:
                text = replaced(block.text, scene)
                if block.language == "console":
                    _run_console(block, text, scene, shell)
                elif block.language == "python" and block.file is None:
                    before, after = scene.around.get(python, ("", ""))
                    python += 1
                    _run_python(f"{before}{text}{after}", scene, directory, environment)
                elif block.language == "python":
                    _write(block, scene, directory)
                elif block.language == "yaml":
                    yaml_blocks.check(text, directory)
                    if block.file is not None:
                        _write(block, scene, directory)
                elif block.language == "json":
                    json.loads(text)
                elif block.language == "toml":
                    tomllib.loads(text)
                else:
                    _require_no_code(block)
            except Exception as exc:
                exc.add_note(f"at {block.place}")
                raise


def replaced(text: str, scene: Scene) -> str:
    """Give a text with what stands in the test for what is on the page."""
    for old, new in scene.replaced.items():
        text = text.replace(old, new)
    return text


def _write_files(page: Sequence[Block], scene: Scene, directory: Path) -> None:
    for name, text in scene.files.items():
        (directory / name).write_text(text, encoding="utf-8")
        # Of a file with secrets some commands demand it.
        (directory / name).chmod(0o600)
    # A page may show a file after the command that takes it. Of one that it shows twice, the first
    # is what is there at the beginning: it is written last.
    for block in reversed(page):
        if block.file is not None:
            _write(block, scene, directory)


def _write(block: Block, scene: Scene, directory: Path) -> None:
    assert block.file is not None
    file = directory / block.file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(replaced(block.text, scene), encoding="utf-8")


def _run_console(block: Block, text: str, scene: Scene, shell: Shell) -> None:
    found = commands(text)
    assert found, "a console block has commands, which begin with `$ `, or is in the table"
    # The table names a command as the page has it.
    for shown, command in zip(commands(block.text), found, strict=True):
        if not what_is_not_run(block, shown.text):
            shell.run(command, scene.statuses.get(shown.text, 0))


def _run_python(code: str, scene: Scene, directory: Path, environment: Mapping[str, str]) -> None:
    file = directory / "test_block.py"
    file.write_text(code, encoding="utf-8")
    options: list[str] = []
    if "import pytest" in code:
        options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable"]
        options += ["--rootdir", str(directory), *(["-k", scene.cases] if scene.cases else [])]
    done = subprocess.run(
        [sys.executable, *options, str(file)],
        cwd=directory,
        env={**environment, **scene.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]


def _require_no_code(block: Block) -> None:
    # Directives of the site's builder are no code, but for one that shows a file.
    is_directive = block.language.startswith("{") and block.language != "{literalinclude}"
    assert is_directive or block.language == _TEXT, (
        f"nothing runs a block of {block.language or 'no language'}: give it one, or a line in"
        " docs/tests/not_run.py"
    )
