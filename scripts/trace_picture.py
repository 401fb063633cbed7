"""Draws the trace of one push into `docs/trace-of-a-push.svg`, from spans of a real server.

Starts a registry on an empty directory in a process that has a tracer provider, pushes an image of
one layer of 5 MB, and draws what was traced.
"""

from __future__ import annotations

import html
import json
import re
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "trace-of-a-push.svg"
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402  # the tests' modules are found from here on

from registry.tests.client import Repository  # noqa: E402  # likewise
from registry.tests.processes import our_server, running  # noqa: E402  # likewise

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_LAYER_BYTES = 5_000_000
_WIDTH, _ROW, _NAMES = 1300, 20, 700
_COLOURS = {"SpanKind.SERVER": "#2563eb", "SpanKind.CLIENT": "#d97706"}


def traced_push() -> list[dict[str, Any]]:
    """Push an image, and give the spans."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "spans"
        file.touch()
        server = our_server(folder)
        before = [sys.executable, "-m", "registry.tests.traced", str(file)]
        server._command = [*before, *server._command[1:]]
        headers = {"traceparent": f"00-{_TRACE}-00f067aa0ba902b7-01"}
        with running(server), httpx.Client(base_url=server.url, headers=headers) as http:
            Repository(http, "library/app").push_image("v1", bytes(_LAYER_BYTES))
            server.stop()
        spans = [json.loads(line) for line in file.read_text().splitlines()]
    return [span for span in spans if span["context"]["trace_id"] == f"0x{_TRACE}"]


def in_order(spans: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Give each span after the one that it is below, with its depth."""
    ids = {span["context"]["span_id"] for span in spans}
    rows: list[tuple[int, dict[str, Any]]] = []

    def add(span: dict[str, Any], depth: int) -> None:
        rows.append((depth, span))
        below = [one for one in spans if one["parent_id"] == span["context"]["span_id"]]
        for one in sorted(below, key=begin):
            add(one, depth + 1)

    for span in sorted((one for one in spans if one["parent_id"] not in ids), key=begin):
        add(span, 0)
    return rows


def begin(span: dict[str, Any]) -> float:
    """Give when a span begins, in seconds."""
    return datetime.fromisoformat(span["start_time"]).timestamp()


def end(span: dict[str, Any]) -> float:
    """Give when a span ends, in seconds."""
    return datetime.fromisoformat(span["end_time"]).timestamp()


def label(span: dict[str, Any]) -> str:
    """Give the name of a span and what it is about, shortened."""
    attributes = span["attributes"]
    path = attributes.get("storagedriver.path") or attributes["url.path"]
    path = path.replace("/docker/registry/v2/", "…/")
    path = re.sub(r"[0-9a-f]{40,}|[0-9a-f-]{36}", lambda match: f"{match[0][:8]}…", path)
    return f"{span['name']}  {path}"


def picture(spans: list[dict[str, Any]]) -> str:
    """Draw spans as bars over time."""
    rows = in_order(spans)
    first, last = min(map(begin, spans)), max(map(end, spans))
    scale = (_WIDTH - _NAMES - 70) / (last - first)
    height = _ROW * (len(rows) + 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="monospace" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (depth, span) in enumerate(rows):
        top = _ROW * number + 8
        left = _NAMES + (begin(span) - first) * scale
        width = max((end(span) - begin(span)) * scale, 1.0)
        milliseconds = (end(span) - begin(span)) * 1000
        lines += [
            f'<text x="{8 + 16 * depth}" y="{top + 11}">{html.escape(label(span))}</text>',
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="14" '
            f'fill="{_COLOURS[span["kind"]]}"/>',
            f'<text x="{left + width + 4:.1f}" y="{top + 11}">{milliseconds:.1f} ms</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture(traced_push()), encoding="utf-8")
