"""The code blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PAGES = ("README.md", "docs/**/*.md", "drivers/*/README.md", "registry/*.md", "testsuite/**/*.md")
_FENCE = re.compile(r"^\s*(?P<fence>`{3,}|~{3,})(?P<language>\{?[\w+-]*\}?) *(?P<argument>.*)$")
_FILE = re.compile(r"# (?P<name>[\w./-]+\.\w+)(;.*)?")


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        page: The page, from the root of the repository.
        line: Where its fence stands.
        language: What follows the fence, as `python` or `{literalinclude}`; empty for nothing.
        argument: The rest of that line.
        text: What is in it.
    """

    page: str
    line: int
    language: str
    argument: str
    text: str

    @property
    def place(self) -> str:
        """Say where it is, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def first_line(self) -> str:
        """Give the line that names it in the table of what is not run."""
        return self.text.partition("\n")[0].strip()

    @property
    def file(self) -> str | None:
        """Give the file that its reader writes: `# storage.yml` is the first line then."""
        match = _FILE.fullmatch(self.first_line)
        return match["name"] if match else None


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a `console` block, and what the page says that it prints.

    Attributes:
        text: The command, without `$ ` and without a comment at its end.
        output: Lines; `…` or `...` alone stands for any number of them, `…` in one for any text.
    """

    text: str
    output: tuple[str, ...]


def pages() -> list[str]:
    """Give every page of the documentation, from the root of the repository."""
    found = {path for pattern in _PAGES for path in ROOT.glob(pattern)}
    names = (path.relative_to(ROOT).as_posix() for path in found)
    return sorted(name for name in names if not name.startswith("docs/_build/"))


def blocks(page: str) -> list[Block]:
    """Give the code blocks of a page, in order."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8")))


def _blocks(page: str, text: str) -> Iterator[Block]:
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if match := _FENCE.match(line):
            inside = []
            for _, one in lines:
                if one.strip() == match["fence"]:
                    break
                inside.append(one)
            content = "".join(f"{one}\n" for one in inside)
            yield Block(page, number, match["language"], match["argument"], content)


def commands(text: str) -> list[Command]:
    """Give the commands of a `console` block; none where the prompt is that of root, `# `."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append([line[2:]])
        elif found and found[-1][0].endswith("\\"):
            found[-1][0] += f"\n{line}"
        elif found:
            found[-1].append(line)
    return [Command(without_comment(first), tuple(rest)) for first, *rest in found]


def without_comment(line: str) -> str:
    """Leave out a comment that begins after two spaces or more."""
    return re.sub(r"\s{2,}# .*$", "", line).rstrip()
