"""A cache of another registry: what is asked for is fetched there, and kept."""

# General layout. A module imports only from those above it:
#
#   errors             what can be wrong with the other registry
#   upstream           the other registry, as this package sees it
#   credentials, client_upstream    how it is asked
#   counting           who counts
#   fetched            notes of what was fetched
#   flights            one question for many who ask the same
#   spool, downloads   blobs on their way
#   answers            from errors to what clients are told
#   blobs, manifests, lists         the handlers that take the place of the ordinary ones
#   expiry             what has been kept long enough
#   proxy              all of it, as the configuration asks
#
# An ordinary registry over the same storage answers whatever is cached: the handlers here see to it
# that it is, or answer themselves while it comes. Nothing here is imported unless it is asked for.

from __future__ import annotations
