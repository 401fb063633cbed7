"""Pages as a browser reads them, as far as tests of the server need it."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser

import httpx

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

_VOID = {"meta", "link", "input", "br", "wbr"}


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        elements: Each element's name and attributes, in order.
        text: Everything that can be read, with single spaces.
    """

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(convert_charrefs=True)
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        self.response = response
        self.elements: list[tuple[str, Mapping[str, str | None]]] = []
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(response.content.decode())
        self.close()
        assert self._open == []
        self.text = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def all(self, tag: str, attribute: str) -> list[str]:
        """Give an attribute of all the elements of a kind that have it."""
        return [
            value
            for name, attributes in self.elements
            if name == tag and (value := attributes.get(attribute)) is not None
        ]

    @property
    def links(self) -> list[str]:
        """Where one can go."""
        return self.all("a", "href")

    @property
    def following(self) -> str:
        """The next page's address; empty on the last."""
        found = [each["href"] for _, each in self.elements if each.get("rel") == "next"]
        assert len(found) <= 1
        return (found[0] or "") if found else ""
