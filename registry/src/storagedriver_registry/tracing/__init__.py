"""OpenTelemetry traces, from requests to calls of the driver.

Nothing here is imported, and nothing traced, unless the process has a tracer provider: one that its
own program has set, or `opentelemetry-instrument`.
"""

# General layout. A module imports only from those above it:
#
#   provider        whether anything is traced
#   spans           spans of requests and of the storage

from __future__ import annotations
