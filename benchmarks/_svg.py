"""Lines and texts of a picture."""

from __future__ import annotations

from html import escape


def text(x: float, y: float, words: str, anchor: str, color: str = "#000") -> str:
    """Give a text; `anchor` is `start`, `middle` or `end`."""
    fill = "" if color == "#000" else f' fill="{color}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{fill}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, color: str, width: int = 1) -> str:
    """Give a straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{color}" stroke-width="{width}"/>'
    )


def head(width: int, height: int, title: str) -> list[str]:
    """Give how a picture begins: its size, its title, and white behind everything."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
