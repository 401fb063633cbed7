"""Whether anything is traced. Imports nothing of OpenTelemetry unless it is there already."""

from __future__ import annotations

import sys

_API = "opentelemetry.trace"


def is_traced() -> bool:
    """Tell whether the process has a tracer provider.

    Whoever has set one has imported the API, so a process that has not pays nothing.
    """
    api = sys.modules.get(_API)
    if api is None:
        return False
    from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, get_tracer_provider

    # Without one, the API gives one of these.
    return not isinstance(get_tracer_provider(), (ProxyTracerProvider, NoOpTracerProvider))
