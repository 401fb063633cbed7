"""Who a redirect URL is for."""

from __future__ import annotations

from contextvars import ContextVar

client_address: ContextVar[str] = ContextVar("client_address", default="")
"""IP address of the client that a redirect URL is made for; empty where nobody knows it.

A server sets it before it asks for a URL. A middleware may send some clients elsewhere by it.
"""
