"""YAML in and out: plain data only, with the line of each key.

Imported where it is used: the parser would be a third of the cost of `import storagedriver_core`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from storagedriver_core._document import Document, Key, dotted
from storagedriver_core._errors import ConfigurationError

_MERGE_TAG = "tag:yaml.org,2002:merge"
# Ten lines of aliases to aliases can stand for a billion values.
_MOST_NODES = 10_000


def read_yaml(path: Path) -> Document:
    """Read and parse a file.

    Raises:
        ConfigurationError: It cannot be read, or as `parse_yaml`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}") from None
    document = parse_yaml(text, str(path))
    document.folder = path.parent
    return document


def parse_yaml(text: str, name: str, *, lines: bool = True) -> Document:
    """Parse one YAML document of mappings, lists and plain scalars.

    Args:
        text: The document.
        name: What to call it in messages.
        lines: Whether origins count lines.

    Raises:
        ConfigurationError: It is not YAML, repeats a key, has a tag, or aliases without an end.
    """
    document = Document(None)
    document.origins[()] = name
    reader = _Reader(document, name, lines)
    problem = None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document.data = None if node is None else reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        what = ", ".join(filter(None, [error.context, error.problem]))
        problem = f"{reader.place(mark.line if mark else 0)}: {what}"
    except yaml.YAMLError:
        problem = f"{name}: not YAML: it holds a control character"
    except RecursionError:
        problem = f"{name}: nested too deeply"
    if problem:
        # Outside of `except`: the parser's error quotes the text, which may hold secrets.
        raise ConfigurationError(problem)
    return document


class _Reader:
    """Turns nodes into data, and notes their lines."""

    def __init__(self, document: Document, name: str, lines: bool) -> None:
        self._origins = document.origins
        self._texts = document.texts
        self._name = name
        self._lines = lines
        self._scalars = SafeConstructor()
        self._open: set[int] = set()
        self._nodes = 0

    def place(self, line: int) -> str:
        return f"{self._name}:{line + 1}" if self._lines else self._name

    def value(self, node: Node, key: Key) -> Any:
        # An alias is the same node again: it may hold itself, or grow without bound.
        self._count(key)
        if id(node) in self._open:
            raise self._refused(key, "an alias that holds itself")
        self._open.add(id(node))
        try:
            return self._value(node, key)
        finally:
            self._open.remove(id(node))

    def _value(self, node: Node, key: Key) -> Any:
        if isinstance(node, ScalarNode):
            scalar = self._scalar(node)
            if scalar is not None and not isinstance(scalar, str):
                self._texts[key] = node.value
            return scalar
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self._error(node, f"the tag {node.tag} is not supported")
        if isinstance(node, MappingNode):
            return self._mapping(node, key)
        assert isinstance(node, SequenceNode)
        items = []
        for index, item in enumerate(node.value):
            self._origins[*key, index] = self.place(item.start_mark.line)
            items.append(self.value(item, (*key, index)))
        return items

    def _scalar(self, node: ScalarNode) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (ValueError, LookupError, AttributeError, OverflowError):
            # What looks like a date or a number, or is tagged as one, need not be one.
            kind = node.tag.rpartition(":")[2]
        raise self._error(node, f"not a {kind}; text stands in quotes")

    def _mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, (name_node, value_node) in self._pairs(node, key).items():
            self._origins[*key, name] = self.place(name_node.start_mark.line)
            members[name] = self.value(value_node, (*key, name))
        return members

    def _pairs(self, node: MappingNode, key: Key) -> dict[str, tuple[Node, Node]]:
        """Give a mapping's keys and values, those of mappings that it merges (`<<`) included."""
        self._count(key)
        pairs: dict[str, tuple[Node, Node]] = {}
        merged: list[Node] = []
        for name_node, value_node in node.value:
            if not isinstance(name_node, ScalarNode):
                raise self._error(name_node, "a key is a word, not a mapping or list")
            if name_node.tag == _MERGE_TAG:
                is_list = isinstance(value_node, SequenceNode)
                merged += value_node.value if is_list else [value_node]
            elif name_node.value in pairs:
                raise self._error(name_node, f"the key {name_node.value!r} is given twice")
            else:
                pairs[name_node.value] = name_node, value_node
        for source in merged:
            if not isinstance(source, MappingNode):
                raise self._error(source, "only mappings can be merged")
            # The mapping's own keys win, and then those of what is named first.
            pairs = self._pairs(source, key) | pairs
        return pairs

    def _count(self, key: Key) -> None:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise self._refused(key, f"aliases that make more than {_MOST_NODES:,} values")

    def _refused(self, key: Key, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self._origins[key]}: {dotted(key)}: {problem}")

    def _error(self, node: Node, problem: str) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def dump_yaml(data: Any) -> str:
    """Spell data as YAML, mappings in their order."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text
