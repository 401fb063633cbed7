"""From templates to answers. Imported with the first page: Jinja costs a worker time and memory."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.pages import formats
from storagedriver_registry.pages.addresses import Addresses
from storagedriver_registry.pages.assets import TYPES, load_asset

_TEMPLATES = Path(__file__).with_name("templates")

# Nothing is loaded but what a page itself names, by a word that no stored content can know; so
# whatever gets through the escaping does nothing.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    # Who asks is in a header; and what a repository has changes.
    "cache-control": "private, no-cache",
    "vary": "Accept, Authorization",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        human_size=formats.human_size,
        exact_size=formats.exact_size,
        human_time=formats.human_time,
        short_digest=formats.short_digest,
        web_address=formats.web_address,
    )
    return environment


_ENVIRONMENT = _environment()


def render(
    request: Request,
    template: str,
    values: Mapping[str, object],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Give a page as an answer. It takes a while where much is to be shown.

    Args:
        request: Whose answer it is.
        template: Name of the template, without its ending.
        values: What the template shows.
        status: HTTP status.
        headers: Headers besides those of every page.
    """
    nonce = secrets.token_urlsafe(16)
    addresses = Addresses(request.base)
    text = _ENVIRONMENT.get_template(f"{template}.html").render(
        values,
        addresses=addresses,
        assets={name: addresses.asset(name, load_asset(name).version) for name in TYPES},
        host=request.header(b"host") or "",
        nonce=nonce,
        user="" if request.grant is None else request.grant.user,
    )
    every = {**_HEADERS, "content-security-policy": _POLICY.format(nonce=nonce), **(headers or {})}
    # JSON can spell halves of characters, which UTF-8 cannot.
    return Response(status, every, text.encode("utf-8", "replace"))


def render_failure(request: Request, error: ApiError) -> Response:
    """Give the page that says what is wrong."""
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = "Error"
    challenge = error.headers.get("www-authenticate", "")
    values = {
        "status": error.status,
        "title": title,
        "message": error.message,
        "scheme": challenge.partition(" ")[0].lower(),
    }
    return render(request, "failure", values, status=error.status, headers=error.headers)
