"""What the parts of a path may look like: names of repositories, tags, ids of uploads.

Source: distribution-spec, "Pulling manifests"; the total length is distribution's.
"""

from __future__ import annotations

import re
from functools import lru_cache

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"

NAME_PATTERN = rf"{_COMPONENT}(?:/{_COMPONENT})*"
"""A regular expression for all of a name."""

MAX_NAME_LENGTH = 255

TAG_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
"""A regular expression for all of a tag."""

UPLOAD_ID_PATTERN = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""A regular expression for all of an upload session's id."""

_NAME = re.compile(NAME_PATTERN)
_TAG = re.compile(TAG_PATTERN)
_UPLOAD_ID = re.compile(UPLOAD_ID_PATTERN)


def is_name(text: str) -> bool:
    """Tell whether `text` can name a repository."""
    return len(text) <= MAX_NAME_LENGTH and _is_spelt_as_name(text)


# Clients ask for the same ones again and again.
@lru_cache(maxsize=1024)
def _is_spelt_as_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether `text` can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_upload_id(text: str) -> bool:
    """Tell whether `text` can be the id of an upload session."""
    return _UPLOAD_ID.fullmatch(text) is not None
