"""What the registry stores, and where. Imports no web framework and nothing of `api`."""

# General layout. A module imports only from those above it:
#
#   errors     what can be wrong with a request
#   paths      the tree of everything that is stored
#   links      files that hold a digest
#   directories     what lies in a directory, in order
#   descriptors, contents, redis_descriptors, caches     what is remembered by digest
#   markers, condemned     what a server has to know of garbage
#   bodies     bodies that come piece by piece
#   blobs, manifests, tags, referrers, tickets, records, locks, turns,
#   process_locks, upload_session, uploads, catalog
#   sessions   all upload sessions: listed, and purged
#   garbage_scan, garbage_report, collector_turn, garbage     what nothing names, deleted
#   stores     all of them on one storage

from __future__ import annotations

from storagedriver_registry.storage.caches import Caches, make_caches
from storagedriver_registry.storage.stores import Stores, make_stores

__all__ = ["Caches", "Stores", "make_caches", "make_stores"]
