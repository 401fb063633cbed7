"""The registry's HTTP API, on plain ASGI."""

# General layout. A module imports only from those above it:
#
#   errors                      the catalogue, and how other errors map to it
#   request, response           HTTP over ASGI
#   routes, urls                resources and their URLs
#   conditions, paging          what headers and queries ask for
#   validation                  what a pushed manifest must not lack
#   services                    what handlers work with
#   base, blobs, uploads,
#   manifests, referrers,
#   tags, catalog               a module for each resource
#   router                      from a path to its handler

from __future__ import annotations
