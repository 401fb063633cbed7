"""Reading manifests as JSON: strictly when they are pushed, forgivingly when they are stored."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json


def read_pushed(data: bytes) -> dict[str, Any]:
    """Read a manifest that is pushed.

    Only what any JSON parser reads is taken: UTF-8, no lone surrogates, no `NaN`. And nothing that
    is nested more deeply than pydantic's 200 levels: what is read here with the last of the stack
    could not be read where there is less of it, and so could not be sent again.

    Raises:
        ValueError: It is none, or no object.
    """
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError:
        raise ValueError("it is not JSON, or nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    return document


def read_stored(data: bytes) -> dict[str, Any]:
    """Read a manifest that is stored, by whatever registry; empty if it is no object of JSON."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
