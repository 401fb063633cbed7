"""Chromium as a person uses it: opens addresses, clicks, types, and looks.

Speaks the DevTools protocol. Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx

SECONDS = 60
_NARROW = 600


class Browser:
    """One connection to a browser, whose tabs are asked one after the other.

    Args:
        url: Where it listens for DevTools.
    """

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._number = 0
        self._events: deque[dict[str, Any]] = deque()
        address = httpx.get(f"{url}/json/version").json()["webSocketDebuggerUrl"]
        self._socket: aiohttp.ClientWebSocketResponse
        self._session: aiohttp.ClientSession
        self._loop.run_until_complete(self._connect(address))

    async def _connect(self, address: str) -> None:
        self._session = aiohttp.ClientSession()
        # Screenshots are large messages.
        self._socket = await self._session.ws_connect(address, max_msg_size=0)

    def close(self) -> None:
        async def close() -> None:
            await self._socket.close()
            await self._session.close()

        self._loop.run_until_complete(close())
        self._loop.close()

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Call a method, and give its result; events that come before it are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._loop.run_until_complete(self._socket.send_str(json.dumps(message)))
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def wait_for(
        self, session: str, method: str, wanted: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Wait for an event that is wanted, and give it; it is kept, as all that come."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = [event for event in self.events(session, method) if wanted(event)]
            if found:
                return found[-1]
            assert time.monotonic() < deadline, method
            self._events.append(self._receive())

    def events(self, session: str, method: str) -> list[dict[str, Any]]:
        """Give the events of that name which have come."""
        return [
            event["params"]
            for event in self._events
            if event.get("sessionId") == session and event.get("method") == method
        ]

    def forget(self, session: str, method: str) -> None:
        """Forget the events of that name which have come."""
        self._events = deque(
            event
            for event in self._events
            if event.get("sessionId") != session or event.get("method") != method
        )

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = self._loop.run_until_complete(
            self._socket.receive_json(timeout=SECONDS)
        )
        return message

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab that shares nothing with the others: no cache, no passwords."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            target = self.call("Target.createTarget", url="about:blank", browserContextId=context)[
                "targetId"
            ]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            yield Tab(self, attached["sessionId"], context)
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)


class Tab:
    """One page at a time."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self._failures: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)
        # Of several tabs each believes to be the one in front.
        self._call("Emulation.setFocusEmulationEnabled", enabled=True)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def set_size(self, width: int, height: int) -> None:
        """Be so many pixels large; a narrow one is a telephone, which shows pages as they ask."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < _NARROW,
        )

    def set_scheme(self, scheme: str) -> None:
        """Prefer `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def disable_scripts(self) -> None:
        """Run no script of any page."""
        self._call("Emulation.setScriptExecutionDisabled", value=True)

    def send_headers(self, headers: Mapping[str, str]) -> None:
        """Send these headers with every request."""
        self._call("Network.setExtraHTTPHeaders", headers=dict(headers))

    def allow_clipboard(self) -> None:
        """Let the page read what it has copied."""
        self._browser.call(
            "Browser.grantPermissions",
            browserContextId=self._context,
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        )

    def open(self, url: str) -> None:
        """Go to an address, and wait until all of its page is there."""
        went = self._call("Page.navigate", url=url)
        assert "errorText" not in went, (url, went)
        self._wait_for_load(went["loaderId"])

    def follow(self, selector: str) -> None:
        """Click on a link, and wait until all of its page is there."""
        with self.leaving():
            self.click(selector)

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Do what leads to another page, and wait until all of that is there."""
        name = "Page.frameNavigated"
        self._browser.forget(self._session, name)
        yield
        went = self._browser.wait_for(
            self._session, name, lambda event: "parentId" not in event["frame"]
        )
        self._wait_for_load(went["frame"]["loaderId"])

    def _wait_for_load(self, loader: str) -> None:
        self._browser.wait_for(
            self._session,
            "Page.lifecycleEvent",
            lambda event: event["name"] == "load" and event["loaderId"] == loader,
        )
        self._browser.forget(self._session, "Page.lifecycleEvent")

    def failures(self) -> list[str]:
        """Give what the browser has complained of: scripts that fail, what a policy forbids."""
        self._note_failures()
        return self._failures

    def _note_failures(self) -> None:
        for event in self._browser.events(self._session, "Log.entryAdded"):
            entry = event["entry"]
            self._failures.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
        for event in self._browser.events(self._session, "Runtime.exceptionThrown"):
            self._failures.append(str(event["exceptionDetails"]))
        for method in ("Log.entryAdded", "Runtime.exceptionThrown"):
            self._browser.forget(self._session, method)

    def look(self, expression: str) -> Any:
        """Give the value of an expression of JavaScript."""
        found = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, (expression, found)
        return found["result"].get("value")

    def until(self, expression: str, wanted: Callable[[Any], bool] = bool) -> Any:
        """Wait until an expression has a value that is wanted, and give it."""
        deadline = time.monotonic() + SECONDS
        while not wanted(value := self.look(expression)):
            assert time.monotonic() < deadline, (expression, value)
            time.sleep(0.02)
        return value

    def text(self, selector: str = "main") -> str:
        """Give what a person can read of the first element that a selector finds."""
        text: str = self.look(f"document.querySelector({json.dumps(selector)}).innerText")
        return text

    def texts(self, selector: str) -> Sequence[str]:
        """Give what a person can read of each."""
        found: list[str] = self.look(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.innerText)"
        )
        return found

    def click(self, selector: str) -> None:
        """Click in the middle of the first line of an element."""
        x, y = self.look(
            f"""(() => {{
                const each = document.querySelector({json.dumps(selector)});
                each.scrollIntoView({{block: "center"}});
                const box = each.getClientRects()[0];
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call(
                "Input.dispatchMouseEvent",
                **{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1},
            )

    def press(self, key: str) -> None:
        """Press `Tab` or `Enter`."""
        codes = {"Tab": 9, "Enter": 13}
        params: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        if key == "Enter":
            params["text"] = "\r"
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, **params)

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        self._call("Input.insertText", text=text)

    def picture(self) -> bytes:
        """Give what is seen, as a PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
