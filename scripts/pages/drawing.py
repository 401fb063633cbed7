"""Pictures of boxes and arrows, from a text.

Each line is one of

    size WIDTH HEIGHT
    box NAME X Y WIDTH HEIGHT [KIND]: Title | a line | another line
    arrow NAME.SIDE[@PART] NAME.SIDE[@PART] [dashed] [both] [via=X]: label
    loop NAME.SIDE: label
    text X Y: words

Sides are top, bottom, left and right; PART, from 0 to 1, is where on it, without one the middle. An
arrow that is not straight goes up or down at X, or half-way. Kinds are colours: plain, main, code,
store and faint. Lines that begin with # are for the reader.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

_STYLE = """\
svg { font-family: system-ui, sans-serif; font-size: 13px; }
.paper { fill: #ffffff; } text { fill: #1f2328; } .title { font-weight: 600; }
.label { fill: #57606a; font-size: 12px; } .arrow { stroke: #57606a; fill: none; }
.head { fill: #57606a; } .dashed { stroke-dasharray: 5 4; } rect.box { stroke-width: 1.2; }
.plain { fill: #f6f8fa; stroke: #8c959f; } .main { fill: #ddf4ff; stroke: #0969da; }
.code { fill: #fff8c5; stroke: #9a6700; } .store { fill: #dafbe1; stroke: #1a7f37; }
.faint { fill: none; stroke: #8c959f; stroke-dasharray: 5 4; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; } text { fill: #e6edf3; } .label { fill: #9198a1; }
  .arrow { stroke: #9198a1; } .head { fill: #9198a1; }
  .plain { fill: #161b22; stroke: #6e7681; } .main { fill: #0c2d6b; stroke: #58a6ff; }
  .code { fill: #3b2300; stroke: #d29922; } .store { fill: #04260f; stroke: #3fb950; }
  .faint { fill: none; stroke: #6e7681; }
}"""

_LINE = 18
_BOX = re.compile(r"box (\S+) (\d+) (\d+) (\d+) (\d+)(?: (\w+))?: (.*)")
_ARROW = re.compile(r"arrow (\S+) (\S+)((?: (?:dashed|both|via=\d+))*):(.*)")
_LOOP = re.compile(r"loop (\S+): (.*)")
_TEXT = re.compile(r"text (\d+) (\d+): (.*)")
_SIZE = re.compile(r"size (\d+) (\d+)")


class Box(NamedTuple):
    """A rectangle, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def at(self, side: str, part: float = 0.5) -> tuple[float, float]:
        """Give a point of its edge."""
        match side:
            case "top":
                return self.x + part * self.width, self.y
            case "bottom":
                return self.x + part * self.width, self.y + self.height
            case "left":
                return self.x, self.y + part * self.height
            case "right":
                return self.x + self.width, self.y + part * self.height
        raise ValueError(side)


def drawn(source: str, about: str, title: str) -> str:
    """Draw a picture.

    Args:
        source: The text.
        about: Where it comes from, for who opens the file.
        title: What the picture shows, for who cannot see it.

    Raises:
        ValueError: A line cannot be read.
    """
    size = _SIZE.search(source)
    if size is None:
        raise ValueError("there is no size")
    width, height = size.groups()
    lines = [
        f"<!-- {about} -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto-start-reverse"><path class="head" d="M0 0 8 4 0 8z"/>'
        "</marker></defs>",
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
    ]
    boxes: dict[str, Box] = {}
    for line in source.splitlines():
        if line.strip() and not line.startswith(("#", "size ")):
            lines += _drawn_line(line, boxes)
    return "\n".join([*lines, "</svg>", ""])


def _drawn_line(line: str, boxes: dict[str, Box]) -> Iterator[str]:
    if found := _BOX.fullmatch(line):
        name, x, y, width, height, kind, text = found.groups()
        boxes[name] = Box(int(x), int(y), int(width), int(height))
        yield from _box(boxes[name], kind or "plain", text.split(" | "))
    elif found := _ARROW.fullmatch(line):
        start, end, marks, label = found.groups()
        yield from _arrow(_point(start, boxes), _point(end, boxes), marks.split(), label.strip())
    elif found := _LOOP.fullmatch(line):
        place, label = found.groups()
        x, y = _point(place, boxes)[:2]
        yield _path(
            f"M{x - 16:g} {y:g}C{x - 30:g} {y - 42:g} {x + 30:g} {y - 42:g} {x + 16:g} {y:g}", []
        )
        yield _words(x, y - 38, label)
    elif found := _TEXT.fullmatch(line):
        x_text, y_text, words = found.groups()
        yield f'<text class="label" x="{x_text}" y="{y_text}">{html.escape(words)}</text>'
    else:
        raise ValueError(f"cannot be read: {line}")


def _box(box: Box, kind: str, lines: list[str]) -> Iterator[str]:
    yield (
        f'<rect class="box {kind}" x="{box.x}" y="{box.y}" width="{box.width}" '
        f'height="{box.height}" rx="6"/>'
    )
    middle = box.x + box.width / 2
    first = box.y + box.height / 2 - (len(lines) - 1) * _LINE / 2 + 4.5
    for number, text in enumerate(lines):
        style = "title" if number == 0 else "label"
        yield (
            f'<text class="{style}" text-anchor="middle" x="{middle:g}" '
            f'y="{first + number * _LINE:g}">{html.escape(text)}</text>'
        )


def _point(place: str, boxes: dict[str, Box]) -> tuple[float, float, str]:
    edge, _, part_text = place.partition("@")
    name, _, side = edge.rpartition(".")
    part = float(part_text or 0.5)
    return *boxes[name].at(side, part), side


def _arrow(
    start: tuple[float, float, str], end: tuple[float, float, str], marks: list[str], label: str
) -> Iterator[str]:
    """Draw a line that is straight, or has one corner or two."""
    (x1, y1, side), (x2, y2, end_side) = start, end
    if abs(x1 - x2) < 1:
        way = f"M{x1:g} {y1:g}V{y2:g}"
        words = _words(x1 + 6, (y1 + y2) / 2 + 4, label, "start")
    elif abs(y1 - y2) < 1:
        way = f"M{x1:g} {y1:g}H{x2:g}"
        words = _words((x1 + x2) / 2, y1 - 6, label)
    elif side in ("top", "bottom"):
        way = f"M{x1:g} {y1:g}V{(y1 + y2) / 2:g}H{x2:g}V{y2:g}"
        words = _words((x1 + x2) / 2, (y1 + y2) / 2 - 6, label)
    elif end_side in ("top", "bottom"):
        way = f"M{x1:g} {y1:g}H{x2:g}V{y2:g}"
        words = _words((x1 + x2) / 2, y1 - 6, label)
    else:
        corner = next((float(one[4:]) for one in marks if one.startswith("via=")), (x1 + x2) / 2)
        way = f"M{x1:g} {y1:g}H{corner:g}V{y2:g}H{x2:g}"
        words = _words((corner + x2) / 2, y2 - 6, label)
    yield _path(way, marks)
    if label:
        yield words


def _path(way: str, marks: list[str]) -> str:
    dashed = " dashed" if "dashed" in marks else ""
    start = ' marker-start="url(#head)"' if "both" in marks else ""
    return f'<path class="arrow{dashed}" d="{way}"{start} marker-end="url(#head)"/>'


def _words(x: float, y: float, words: str, anchor: str = "middle") -> str:
    place = f'text-anchor="{anchor}" x="{x:g}" y="{y:g}"'
    return f'<text class="label" {place}>{html.escape(words)}</text>'
