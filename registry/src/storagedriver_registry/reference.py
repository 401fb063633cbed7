"""What the parts of a path may look like: names of repositories, tags, ids of uploads.

Source: distribution-spec, "Pulling manifests"; the total length is distribution's.
"""

from __future__ import annotations

import re

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_UPLOAD_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_NAME_LENGTH = 255


def is_name(text: str) -> bool:
    """Tell whether `text` can name a repository."""
    return len(text) <= _MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether `text` can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_upload_id(text: str) -> bool:
    """Tell whether `text` can be the id of an upload session."""
    return _UPLOAD_ID.fullmatch(text) is not None
