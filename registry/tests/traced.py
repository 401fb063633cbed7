"""The `registry` command in a process that has a tracer provider, as an embedder's program has.

`python -m registry.tests.traced FILE serve …` writes each span to the file, a line of JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from storagedriver_registry.cli import main


def run(file: str) -> None:
    # Lines of several processes, each by one write.
    with Path(file).open("a", buffering=1) as out:
        exporter = ConsoleSpanExporter(
            out=out, formatter=lambda span: f"{span.to_json(indent=None)}\n"
        )
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        main()


if __name__ == "__main__":
    run(sys.argv.pop(1))
