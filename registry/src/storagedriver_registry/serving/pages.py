"""What the debug server shows of a registry. Source: distribution's `health` and `health/api`."""

from __future__ import annotations

import json

from storagedriver_registry.app import RegistryApp
from storagedriver_registry.configuration.models import HttpSettings
from storagedriver_registry.serving.debug import Page, Pages

_JSON = "application/json; charset=utf-8"


def debug_pages(app: RegistryApp, http: HttpSettings) -> Pages:
    """Give the pages: health, and metrics if they are measured."""
    health, meters = app.health, app.meters
    pages = {}
    if health is not None:

        def status() -> Page:
            failures = health.failures()
            body = json.dumps(failures, sort_keys=True).encode()
            return Page(503 if failures else 200, _JSON, body)

        def switch(*, is_down: bool) -> Page:
            health.switch(is_down=is_down)
            return Page(200)

        pages[("GET", "/debug/health")] = status
        pages[("POST", "/debug/health/down")] = lambda: switch(is_down=True)
        pages[("POST", "/debug/health/up")] = lambda: switch(is_down=False)
    if meters is not None:
        from storagedriver_registry.metrics.meters import CONTENT_TYPE

        def metrics() -> Page:
            if health is not None:
                meters.health.set(len(health.failures()))
            return Page(200, CONTENT_TYPE, meters.exposition())

        pages[("GET", http.debug.prometheus.path)] = metrics
    return pages
