"""What several nodes on one storage need: said, since one node cannot see the others."""

from __future__ import annotations

from storagedriver_core import Capabilities, Finding
from storagedriver_registry.configuration.models import Settings

STEP = "several nodes"


def examine_sharing(settings: Settings, capabilities: Capabilities) -> Finding:
    """Say whether several servers can work on the storage, and what has to be the same on each.

    Args:
        settings: The configuration.
        capabilities: Of the storage.
    """
    if not capabilities.shared_between_processes:
        return Finding(STEP, "left out", "each server has a storage of its own")
    needs = (*_session_needs(settings, capabilities), *_cache_needs(settings, capabilities))
    detail = "can work on this storage" if needs else "can work on this storage as it is"
    return Finding(STEP, "ok", detail, help=needs)


def unknown_sharing() -> Finding:
    """Say that it is not known whether several servers can work on the storage."""
    return Finding(STEP, "left out", "the storage cannot be opened")


def _session_needs(settings: Settings, capabilities: Capabilities) -> tuple[str, ...]:
    needs = []
    if settings.http.secret is not None:
        needs.append(
            "http.secret is set: to the same text on each, or uploads are unknown to others"
        )
    elif not capabilities.put_if_absent:
        needs.append(
            "http.secret is not set, and this storage may give each another key: set it to the "
            "same text on each"
        )
    if capabilities.local_path:
        needs.append(
            "on one machine only: locks of files keep them apart, and have to hold for all"
        )
    elif not capabilities.put_if_match:
        needs.append(
            "this storage does not compare what it replaces: let a proxy send each upload session "
            "to one server, and collect garbage --offline"
        )
    return tuple(needs)


def _cache_needs(settings: Settings, capabilities: Capabilities) -> tuple[str, ...]:
    cache = settings.storage.cache
    if capabilities.local_path or cache.blobdescriptor is None or not cache.max_stale:
        return ()
    return (
        f"what one deletes or tags anew, others may serve as it was for {cache.max_stale:g} s: "
        "storage.cache.max_stale, the same on each",
    )
