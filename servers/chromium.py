"""Chromium without a window, driven by its DevTools protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from servers import _http
from servers._process import HOST, Server


class Chromium(Server):
    """`chromium-headless-shell`: the browser, with a profile of its own and no sandbox.

    It is for pages of the tests alone: whatever it loads can do what its user can.
    """

    program: ClassVar[str] = "chromium-headless-shell"

    def arguments(self) -> Sequence[str]:
        """Give the options."""
        return [
            f"--remote-debugging-address={HOST}",
            f"--remote-debugging-port={self.port}",
            f"--user-data-dir={self.directory / 'profile'}",
            # A sandbox needs namespaces or a program with more rights, and CI jobs have neither.
            "--no-sandbox",
            "--no-first-run",
            "--no-proxy-server",
            # Containers have little room at /dev/shm.
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
            "--hide-scrollbars",
            # Pictures are the same on every machine.
            "--force-color-profile=srgb",
            "--font-render-hinting=none",
            "about:blank",
        ]

    def is_ready(self) -> bool:
        """Say whether it answers who it is, and has opened its first page."""
        version = _http.request("GET", f"{self.url}/json/version")
        pages = _http.request("GET", f"{self.url}/json/list")
        return version.is_success and b'"type": "page"' in pages.body
